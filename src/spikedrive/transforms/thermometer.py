"""The integer scan whose output is binary: one `torch.library` node, as every neuron is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from spikedrive.auditing.folding import Step
from spikedrive.auditing.rules.neurons import fired
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.value import Value
from spikedrive.ops import domains
from spikedrive.ops.domain import Binary
from spikedrive.ops.ilif import ilif_scan, reference
from spikedrive.ops.ilif.options import Options
from spikedrive.transforms.spikes import thermometer

_library = torch.library.Library("spikedrive", "FRAGMENT")
_OPTIONS = ("levels", "decay", "threshold", "decay_input", "half_even", "repeats")


def thermometer_scan(
    x: Tensor,
    v: Tensor | None,
    levels: int,
    decay: float,
    threshold: float,
    decay_input: bool,
    half_even: bool,
    repeats: int,
) -> tuple[Tensor, Tensor]:
    """The integers of `ilif_scan` as levels * repeats binary sub-steps, and the membrane after the last step.

    *Equation*: n as in `spikedrive.ops.ilif.reference`, summed over `repeats`; y_d = 1 where n > d, d from 0.
    *Shapes*: x (T, B, ...), v (B, ...) or None -> (D, T, B, ...), (B, ...) or (0,).
    *Multiplies*: none where decay is a power of two.
    """
    return torch.ops.spikedrive.thermometer_scan.default(
        x, v, levels, decay, threshold, decay_input, half_even, repeats
    )


def options_of(scan: Mapping[str, Any]) -> tuple[Any, ...]:
    """The options of `thermometer_scan` from the arguments of an `ilif_scan` node."""
    return tuple(scan[name] for name in _OPTIONS)


def _forward(x: Tensor, v: Tensor | None, *options: Any) -> tuple[Tensor, Tensor]:
    given = dict(zip(_OPTIONS, options, strict=True))
    # a scale of `repeats` leaves the sum of the inner steps, which is whole
    integers, last = ilif_scan(x, v, **given, scale=float(given["repeats"]))
    return thermometer(integers, given["levels"] * given["repeats"]).stack, last.clone()


def _fake(x: Tensor, v: Tensor | None, *options: Any) -> tuple[Tensor, Tensor]:
    given = dict(zip(_OPTIONS, options, strict=True))
    return x.new_empty((given["levels"] * given["repeats"], *x.shape)), x.new_empty(
        0 if v is None else v.shape
    )


def _plain(x: Tensor, v: Tensor | None, *options: Any) -> tuple[Tensor, Tensor]:
    given = dict(zip(_OPTIONS, options, strict=True))
    whole = Options(**given, closed_gate=True, scale=float(given["repeats"]), save=False)
    integers, last, _ = reference.forward(x, v, whole)
    return thermometer(integers, given["levels"] * given["repeats"]).stack, last


_library.define(
    "thermometer_scan(Tensor x, Tensor? v, int levels, float decay, float threshold, bool decay_input, "
    "bool half_even, int repeats) -> (Tensor, Tensor)"
)
_library.impl("thermometer_scan", _forward, "CompositeExplicitAutograd")
torch.library.register_fake("spikedrive::thermometer_scan", _fake, lib=_library)
domains.declare("spikedrive.thermometer_scan.default", lambda arguments: Binary(), decomposition=_plain)


@rule("spikedrive.thermometer_scan.default")
def _audited(step: Step) -> tuple[Value, ...]:
    """One comparison a sub-step; the membrane is updated as often as the integer neuron's."""
    repeats, carries = int(step["repeats"]), step["v"] is not None
    decay = step["decay"] if carries or repeats > 1 else 0.0
    return fired(
        step, comparisons=1, decay=decay, carries=carries, updates=repeats,
        substeps=int(step["levels"]) * repeats,
    )  # fmt: skip
