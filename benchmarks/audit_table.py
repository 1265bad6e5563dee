"""What three tools count on the networks of audit_nets.py and on the registered models: results/audit_table.csv.

Usage: python benchmarks/audit_table.py [--models PATTERN ...]

It runs itself again in the peers' environment (benchmarks/peers.py). Every tool sees the same model, weights and single
sample; a tool that fails has its error's class for a number. Rows counted now replace those of the same network.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import Any

import audit_nets
import peers
import results
import torch
from torch import Tensor, nn

import spikedrive as sd
from spikedrive.auditing.verdict import RULES_VERSION
from spikedrive.models import MODELS

WORKER = "SPIKEDRIVE_AUDIT_TABLE"


def main() -> None:
    """Count here, in the peers' environment, or start it."""
    if WORKER not in os.environ:
        command = [str(peers.python()), str(Path(__file__).resolve()), *sys.argv[1:]]
        sys.exit(subprocess.run(command, env={**os.environ, WORKER: "1"}).returncode)
    for trick in audit_nets.TRICKS:
        keep(row_of(trick.name, "trick", trick.build, trick.x(), 1, (trick.additions, trick.multiplications)))
    # models of tokens and of points have no picture on their cards
    for name in (n for n in sd.list_models() if MODELS[n].card.input not in ("tokens", "points")):
        if any(fnmatch(name, pattern) for pattern in options().models):
            keep(published(name))


def published(name: str) -> dict[str, object]:
    """A registered model as it was published, with random weights, on one random sample of the size on its card."""
    model = sd.create_model(name, as_released=True)
    frames = model.card.input == "frames"
    torch.manual_seed(0)
    x = torch.rand(*((model.card.steps, 1) if frames else (1,)), *model.card.input_size)
    # the statistics of this sample, without which a network that is not trained is silent
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(x)
    return row_of(name, "published", lambda: model, x, int(frames))


def row_of(
    name: str, kind: str, build: Callable[[], nn.Module], x: Tensor, axis: int,
    hand: tuple[int, int] | tuple[str, str] = ("", ""),
) -> dict[str, object]:  # fmt: skip
    """What hand and tools say of one network."""
    torch.manual_seed(0)
    model = build().eval()
    row: dict[str, object] = {
        "network": name, "kind": kind, "hand_additions": hand[0], "hand_multiplications": hand[1],
    }  # fmt: skip
    for tool, count in {"spikedrive": ours, "spikingjelly": spikingjelly, "neurobench": neurobench}.items():
        try:
            found = count(model, x, axis)
        except Exception as error:
            failed = type(error).__name__
            found = dict.fromkeys(
                ("additions", "multiplications", *["verdict"][: tool == "spikedrive"]), failed
            )
        row |= {f"{tool}_{key}": value for key, value in found.items()}
    versions = " ".join(f"{tool} {version(tool)}" for tool in ("spikingjelly", "neurobench"))
    return {**row, "versions": f"rules {RULES_VERSION} {versions}"}


def ours(model: nn.Module, x: Tensor, axis: int) -> dict[str, Any]:
    """The audit, measured on the sample."""
    audited = sd.audit(model, x, data=x, batch_axis=axis)
    totals = audited.totals
    return {
        "additions": round(totals["additions"]),
        "multiplications": round(totals["multiplications"] + totals["functions"]),
        "verdict": audited.verdict,
    }


def spikingjelly(model: nn.Module, x: Tensor, _axis: int) -> dict[str, Any]:
    """SpikingJelly's counters of additions and multiply-adds."""
    from spikingjelly.activation_based import op_counter

    additions, multiplications = op_counter.ACCounter(), op_counter.MACCounter()
    with torch.no_grad(), op_counter.DispatchCounterMode([additions, multiplications]):
        model(x)
    return {"additions": additions.get_total(), "multiplications": multiplications.get_total()}


def neurobench(model: nn.Module, x: Tensor, axis: int) -> dict[str, Any]:
    """NeuroBench's synaptic operations."""
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel

    watched = TorchModel(model)
    watched.register_hooks()
    try:
        with torch.no_grad():
            watched(x)
            # it takes the size of the first axis for the number of samples
            found = SynapticOperations()(watched, None, (x.transpose(0, axis), None))
    finally:
        watched.cleanup_hooks()
    return {"additions": round(found["Effective_ACs"]), "multiplications": round(found["Effective_MACs"])}


def keep(row: dict[str, object]) -> None:
    """Write the row at once, so that an interrupted run keeps what it has."""
    print({key: value for key, value in row.items() if key != "versions"}, flush=True)
    old = {each["network"]: each for each in results.read("audit_table")}
    results.write("audit_table", (old | {row["network"]: row}).values())


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["*"], help="shell patterns of registered names")
    return parser.parse_args()


if __name__ == "__main__":
    main()
