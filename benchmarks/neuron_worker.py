"""One measurement in a process of its own, in the peers' environment; benchmarks/neurons.py starts it.

Usage: python neuron_worker.py JOB      (a JSON object; the last line of the output is the answer)
"""

from __future__ import annotations

import ctypes
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import contenders
import spiking_nets
import torch
from torch import Tensor

WHOLE = "spikingjelly net compiled"
NO_NORM = "spikedrive without BatchNorm"
NO_NEURON = "no neuron"
Step = Callable[[], object]


def main(job: dict[str, Any]) -> None:
    torch.set_num_threads(job["threads"])
    # every neuron of a network is a function of its own to the compiler
    torch._dynamo.config.recompile_limit = 64
    measure = {"race": race, "peak": peak, "first": first}[job["measure"]]
    print(json.dumps(measure(job)))


def race(job: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Time all contenders in interleaved rounds, each round starting with the next one."""
    steps: dict[str, Step] = {}
    figures: dict[str, dict[str, float]] = {}
    for name in job["contenders"]:
        start = time.perf_counter()
        try:
            steps[name] = _step(job, name)
            steps[name]()
        except Exception as error:
            if name in (contenders.OURS, contenders.REFERENCE):
                raise
            print(f"{name} is left out: {error!r}"[:300], file=sys.stderr)
            steps.pop(name, None)
            continue
        print(f"{name}: first step {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
        # what a first call sets up is not timed
        steps[name]()
    if job["kind"] == "lif":
        figures = _agreement(job, list(steps))
    wall: dict[str, list[float]] = {name: [] for name in steps}
    cpu: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    for r in range(job["rounds"]):
        for name in names[r % len(names) :] + names[: r % len(names)]:
            busy, start = time.process_time(), time.perf_counter()
            steps[name]()
            wall[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - busy)
    for name in names:
        ratios = [a / b for a, b in zip(wall[name], wall[contenders.REFERENCE], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        figures.setdefault(name, {}).update(
            ms=1e3 * statistics.median(wall[name]),
            ms_min=1e3 * min(wall[name]),
            ratio=middle,
            ratio_low=low,
            ratio_high=high,
            cpu_ratio=statistics.median(
                a / b for a, b in zip(cpu[name], cpu[contenders.REFERENCE], strict=True)
            ),
        )
    return figures


def peak(job: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The most memory that forward and backward hold beyond input and incoming gradient, in sizes of the input.

    The kernel's own high-water mark of this process (VmHWM, reset before the pass) less what it held before.
    """
    (name,) = job["contenders"]
    x, grad = _input(job)
    scan = contenders.CONTENDERS[name](job["surrogate"])
    for _ in range(2):
        x.grad = None
        scan(x).backward(grad)
    x.grad = None
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _kilobytes("VmRSS")
    scan(x).backward(grad)
    growth = 1024 * (_kilobytes("VmHWM") - before) / (x.numel() * x.element_size())
    return {name: {"peak": growth}}


def first(job: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Seconds from a new neuron to the end of its first forward and backward, imports not counted."""
    (name,) = job["contenders"]
    x, grad = _input(job)
    contenders.CONTENDERS[name](job["surrogate"])
    # the autograd engine starts its threads at its first use by anybody
    torch.zeros(1, requires_grad=True).sum().backward()
    start = time.perf_counter()
    contenders.CONTENDERS[name](job["surrogate"])(x).backward(grad)
    return {name: {"first_s": time.perf_counter() - start}}


def _step(job: dict[str, Any], name: str) -> Step:
    if job["kind"] == "lif":
        x, grad = _input(job)
        scan = contenders.CONTENDERS[name](job["surrogate"])

        def forward_backward() -> None:
            x.grad = None
            scan(x).backward(grad)

        return forward_backward
    plain = {WHOLE: contenders.REFERENCE, NO_NORM: contenders.OURS}.get(name, name)

    def neuron() -> contenders.Scan:
        return (lambda y: y) if name == NO_NEURON else contenders.CONTENDERS[plain](job["surrogate"])

    net, x = spiking_nets.build(job["kind"], neuron)
    if name == NO_NORM:
        spiking_nets.without_norm(net)
    labels = torch.arange(spiking_nets.BATCH) % spiking_nets.CLASSES
    optimizer = torch.optim.SGD(net.parameters(), 1e-3)
    run = torch.compile(net, dynamic=False) if name == WHOLE else net

    def train() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(run(x), labels).backward()
        optimizer.step()

    return train


def _input(job: dict[str, Any]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (job["steps"], *job["shape"])
    x = 1.5 * torch.randn(shape, generator=generator)
    return x.requires_grad_(), torch.randn(shape, generator=generator)


def _agreement(job: dict[str, Any], names: list[str]) -> dict[str, dict[str, float]]:
    """How far spikes and gradients are from the reference's, and what is kept for the backward pass."""
    found: dict[str, dict[str, float]] = {}
    expected: tuple[Tensor, Tensor] | None = None
    for name in sorted(names, key=lambda n: n != contenders.REFERENCE):
        x, grad = _input(job)
        kept: dict[int, int] = {}

        def keep(tensor: Tensor, kept: dict[int, int] = kept) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            spikes = contenders.CONTENDERS[name](job["surrogate"])(x)
        spikes.backward(grad)
        assert x.grad is not None
        kept.pop(x.untyped_storage().data_ptr(), None)
        expected = expected or (spikes.detach(), x.grad)
        row = {
            "saved_bytes": sum(kept.values()) / x.numel(),
            "unequal_spikes": (spikes != expected[0]).double().mean().item(),
        }
        if contenders.surrogate_of(name, job["surrogate"]) == job["surrogate"]:
            # one spike that rounding moved changes the gradients of its neighbours in time as well
            same = (spikes == expected[0]).all(0)
            row["gradient_error"] = (
                ((x.grad - expected[1]) * same).norm() / (expected[1] * same).norm()
            ).item()
        found[name] = row
    return found


def _kilobytes(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
