"""How the neuron scans are lowered: to one ladder of integers each."""

from __future__ import annotations

import math
from typing import Any

from spikedrive.auditing.trace import Node, Ref
from spikedrive.engine.ir import Neuron
from spikedrive.engine.lower.draft import NeuronDraft, Unit
from spikedrive.engine.lower.walk import Walk, Wire, arguments, rule
from spikedrive.engine.quantise import power_of_two

_RESTS = {"aten.zeros_like.default": 0.0, "aten.zeros.default": 0.0, "aten.full_like.default": None,
          "aten.full.default": None}  # fmt: skip


@rule("spikedrive.lif_scan.default", "spikedrive.plif_scan.default")
def lif(walk: Walk, node: Node) -> Wire:
    """IF, LIF and PLIF: one level, at the threshold or strictly above it."""
    a = arguments(node)
    return _neuron(
        walk, node, a, levels_at=((2, a["strict"]),), rest=a["reset_value"], hard=a["hard_reset"],
        decay_input=a["decay_input"], carry=True, repeats=1, scale=1.0,
    )  # fmt: skip


@rule("spikedrive.ilif_scan.default")
def ilif(walk: Walk, node: Node) -> Wire:
    """The integer family: level k starts at k - 1/2 thresholds; half-even ties go to the even level."""
    a = arguments(node)
    carry = a["v"] is not None
    leaks = carry or a["repeats"] > 1
    levels_at = tuple((2 * k - 1, a["half_even"] and k % 2 == 1) for k in range(1, a["levels"] + 1))
    return _neuron(
        walk, node, {**a, "decay": a["decay"] if leaks else 0.0}, levels_at=levels_at, rest=0.0, hard=False,
        decay_input=leaks and a["decay_input"], carry=carry, repeats=a["repeats"], scale=a["scale"] / a["repeats"],
    )  # fmt: skip


def _neuron(
    walk: Walk,
    node: Node,
    a: dict[str, Any],
    *,
    levels_at: tuple[tuple[int, bool], ...],
    rest: float,
    hard: bool,
    decay_input: bool,
    carry: bool,
    repeats: int,
    scale: float,
) -> Wire:
    wire = walk.wire(node, a["x"])
    unit, output = wire.draft.unit, power_of_two(scale)
    if output is None:
        walk.refuse(node, f"gives multiples of {scale:g}", "A program's neurons give integers times a power of two; "
                    "choose such a scale or number of levels")  # fmt: skip
    if wire.draft.raw:
        walk.refuse(node, "reads raw pixels", "The first layer is a convolution or linear layer")
    if unit.divisor != 1 and repeats > 1:
        walk.refuse(node, f"reads a mean over {unit.divisor} elements several times a step",
                    "Such a neuron reads sums or means over a power of two; use ILIF there")  # fmt: skip
    if carry:
        _check_rest(walk, node, a["v"], rest)
    decay, forgets = _decay(walk, node, a["decay"])
    # a membrane that keeps nothing starts every charge from rest
    decay_input, carry = decay_input and not forgets, carry and not forgets
    charges = repeats * (wire.lead if carry else 1)
    fields = {
        "steps": wire.lead, "hard": hard, "decay": decay, "decay_input": decay_input, "carry": carry,
        "repeats": repeats, "fraction": decay * charges,
    }  # fmt: skip
    if forgets and repeats > 1:
        walk.refuse(
            node, f"repeats {repeats} charges and forgets between them", "Use a decay above 0, or one charge"
        )
    if unit.stream is not None:
        unit.stream.threshold(math.floor(math.log2(a["threshold"])) - unit.offset - unit.averaged)
    high = len(levels_at) * repeats
    draft = NeuronDraft(
        Neuron, node.name, node.module, (wire.draft,), wire.draft.shape, Unit(None, output), fields, high=high,
        threshold=a["threshold"], rest=rest, fires_at=levels_at,
    )  # fmt: skip
    return walk.add(draft, wire.lead)


def _decay(walk: Walk, node: Node, decay: Any) -> tuple[int, bool]:
    """The decay as a right shift, and whether nothing is kept at all."""
    number = float(walk.constant(decay)) if isinstance(decay, Ref) else float(decay)  # type: ignore[arg-type]
    if number == 0.0:
        return 0, True
    power = power_of_two(number)
    if power is None or power > 0:
        learned = " (learned)" if isinstance(decay, Ref) else ""
        walk.refuse(
            node, f"keeps {number:.6g}{learned} of its membrane per step",
            "A program's leak is a shift: 1, 1/2, 1/4 and so on; train with LIF(decay=0.5), or set PLIF's w to "
            "ln(decay / (1 - decay)) times -1 of such a value and fine-tune the rest",
        )  # fmt: skip
    return -power, False


def _check_rest(walk: Walk, node: Node, state: Any, rest: float) -> None:
    """The first membrane is the neuron's rest, as without a state, not a carried one."""
    if state is None:
        return
    start = walk.graph[state.name] if isinstance(state, Ref) else None
    value = _RESTS.get(start.op, math.nan) if start is not None else math.nan
    if start is not None and value is None:
        value = float(start.args[1])
    if value != rest:
        walk.refuse(node, "starts from a given membrane", "A program starts from rest; compile the model itself, not a "
                    "step with a carried state")  # fmt: skip
