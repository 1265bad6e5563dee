"""Approximate steps towards additions only, each tried on a copy: what would change, and by how much."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from spikedrive.auditing import Audit, Remaining
from spikedrive.auditing.rules.neurons import is_shift
from spikedrive.neurons import ILIF, LIF, PLIF, Neuron
from spikedrive.transforms.repairs import Change, replace_module

LEVELS = 15
"""Levels of the neuron that a trial puts in place of a real value: four bits."""
_SMALLEST_SHIFT = 8
_LEAKS = ("decay", "current_decay", "trace_decay")
_KEPT = ("decay_input", "reset", "reset_value", "strict", "detach_reset", "surrogate", "save")
_FUNCTIONS = (
    nn.SiLU, nn.GELU, nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Tanh, nn.ELU, nn.LeakyReLU, nn.Hardswish, nn.Softplus, nn.Mish,
    nn.Hardsigmoid,
)  # fmt: skip


@dataclass(frozen=True)
class Proposal:
    """Multiplications that are left at one place, and the approximate step that would take them away.

    `step` was tried on a copy where `change` is given: the largest absolute change of the answer on the example, and
    `relative`, the same over the largest answer. `delta` is the change of the constant itself, for a leak. A step
    without a `change` was not tried: it needs a change of the code, or training.
    """

    module: str
    op: str
    count: float
    why: str
    step: str
    delta: float | None
    change: float | None
    relative: float | None


def nearest_shift(decay: float) -> float:
    """The nearest leak that is a shift: 0, 1, 2^-k or 1 - 2^-k.

    >>> nearest_shift(0.7), nearest_shift(0.3), nearest_shift(0.95)
    (0.75, 0.25, 0.9375)
    """
    powers = [2.0**-k for k in range(1, _SMALLEST_SHIFT + 1)]
    return min([0.0, 1.0, *powers, *[1 - p for p in powers]], key=lambda leak: abs(leak - decay))


def leaks_of(module: nn.Module) -> dict[str, float]:
    """The leaks of a neuron that are no shifts, by their names."""
    if not isinstance(module, Neuron) or getattr(module, "carry", True) is False:
        return {}
    if type(module) is PLIF:
        leaks = {"decay": 1 - float(module.w.detach().sigmoid())}
    else:
        leaks = {name: getattr(module, name, None) for name in _LEAKS}
    return {
        k: v for k, v in leaks.items() if isinstance(v, float) and v not in (0.0, 1.0) and not is_shift(v)
    }


def round_leak(model: nn.Module, path: str) -> list[tuple[float, float]]:
    """Round the leaks of the neuron at `path`, in place; what each was and what it is.

    A learned leak becomes a fixed one: 1 - sigmoid(w) is seldom a power of two to the bit.
    """
    neuron: Any = model.get_submodule(path)
    leaks = leaks_of(neuron)
    rounded = {name: nearest_shift(leak) for name, leak in leaks.items()}
    if type(neuron) is PLIF:
        options: dict[str, Any] = {name: getattr(neuron, name) for name in _KEPT}
        replace_module(model, path, LIF(rounded["decay"], neuron.threshold, **options).eval())
    else:
        for name, leak in rounded.items():
            setattr(neuron, name, leak)
    return [(leaks[name], rounded[name]) for name in leaks]


def round_leaks(model: nn.Module) -> list[Change]:
    """Round every leak to a shift, in place."""
    return [
        Change(path, f"the leak {old:.6g} became {new:g}, |change| {abs(new - old):.3g}")
        for path, module in list(model.named_modules())
        if path and leaks_of(module)
        for old, new in round_leak(model, path)
    ]


def proposals(model: nn.Module, audit: Audit, example: tuple[Tensor, ...]) -> tuple[Proposal, ...]:
    """What the audit says is left, each with the approximate step that was tried for it."""
    answer = answers(model, example)
    return tuple(_proposal(model, left, example, answer) for left in audit.exceptions)


def _proposal(
    model: nn.Module, left: Remaining, example: tuple[Tensor, ...], answer: list[Tensor]
) -> Proposal:
    count = left.count + left.functions
    trial = copy.deepcopy(model)
    module = dict(trial.named_modules()).get(left.module)
    step, delta = left.replacement, None
    if module is None or not left.module:
        pass
    elif leaks_of(module):
        rounded = round_leak(trial, left.module)
        delta = max(abs(new - old) for old, new in rounded)
        changes = ", ".join(f"{old:.6g} to {new:g}" for old, new in rounded)
        step = f"round the leak {changes} (round_leaks=True)"
    elif isinstance(module, _FUNCTIONS):
        step = f"an ILIF of {LEVELS} levels in place of {type(module).__name__}, calibrated on the example"
        neuron = _calibrated(module, lambda _given, out: out, trial, example)
        replace_module(trial, left.module, neuron)
    elif left.kind == "real x weight" and isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d)):
        step = f"an ILIF of {LEVELS} levels in front, calibrated on the example"
        neuron = _calibrated(module, lambda given, _out: given[0], trial, example)
        replace_module(trial, left.module, nn.Sequential(neuron, module))
    if step == left.replacement:
        return Proposal(left.module, left.op, count, left.why, step, None, None, None)
    change = largest_change(answer, answers(trial, example))
    size = max((float(a.abs().amax()) for a in answer if a.numel()), default=0.0)
    return Proposal(
        left.module, left.op, count, left.why, step, delta, change, change / size if size else None
    )


def _calibrated(module: nn.Module, watched: Any, model: nn.Module, example: tuple[Tensor, ...]) -> ILIF:
    """A neuron whose levels reach the largest value seen."""
    seen: list[float] = []
    handle = module.register_forward_hook(lambda _m, i, o: seen.append(float(watched(i, o).detach().amax())))
    answers(model, example)
    handle.remove()
    unit = max([*seen, 0.0]) / LEVELS
    unit = unit if unit > 0 and math.isfinite(unit) else 1.0
    return ILIF(LEVELS, unit, scale=unit).eval()


@torch.no_grad()
def answers(model: nn.Module, example: tuple[Tensor, ...]) -> list[Tensor]:
    """The tensors that the model answers with."""
    return [leaf for leaf in pytree.tree_leaves(model(*example)) if isinstance(leaf, Tensor)]


def largest_change(before: list[Tensor], after: list[Tensor]) -> float:
    """The largest absolute difference."""
    return max(
        (float((a - b).abs().amax()) for a, b in zip(before, after, strict=True) if a.numel()), default=0.0
    )
