"""The neuron scans: one node each, with a declared domain that is checked.

A membrane update is the leak, the integration and the reset of one neuron at one step. The leak is a
shift where the share kept, or the share lost, is a power of two; otherwise it is a multiplication.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, absorb, exception, materialise
from spikedrive.auditing.ledger import Event, event
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.value import Value, of_integers, unbounded
from spikedrive.errors import AuditError
from spikedrive.ops.domain import Domain
from spikedrive.ops.domains import NEURON_OPS


@rule("spikedrive.lif_scan.default", "spikedrive.plif_scan.default")
def leaky(step: Step) -> tuple[Value, ...]:
    """IF, LIF and PLIF."""
    return fired(step, comparisons=1, decay=step["decay"], carries=True)


@rule("spikedrive.ilif_scan.default")
def integer(step: Step) -> tuple[Value, ...]:
    """The integer family: one comparison a level."""
    repeats = int(step["repeats"])
    carries = step["v"] is not None
    decay = step["decay"] if carries or repeats > 1 else 0.0
    return fired(
        step, comparisons=int(step["levels"]) * repeats, decay=decay, carries=carries, updates=repeats
    )


def fired(
    step: Step, *, comparisons: int, decay: float | Value, carries: bool, updates: int = 1, substeps: int = 1
) -> tuple[Value, ...]:
    """What leaves a neuron: its declared domain, and nothing known of its membrane.

    `updates` counts the updates of a membrane for all of the output's `substeps` together.
    """
    x, tally = step.value("x"), step.tally
    if (x.gain.shape[0] > 1 and carries) or bool((x.gain == 0).any()):
        x = materialise(step, x, step.name("x"))
    state = step.get("v")
    if isinstance(state, Value) and state.base != "constant" and not bool((state.gain == x.gain[0]).all()):
        # what is added to a membrane is of the membrane's scale
        materialise(step, state, step.name("v"))
        x = materialise(step, x, step.name("x"))
    absorb(step, x, "threshold")
    if x.has_offset and carries:
        tally.sums += step.count
    tally.kind = "neuron"
    tally.compares += step.count * comparisons
    if carries or updates > 1:
        count = step.count // substeps * updates
        tally.membrane_updates += count
        _leak(step, decay, count)
    domain = declared(step)
    scaled = of_integers(step.shape, domain, "fired", levels=domain.levels)
    tally.domain = str(domain)
    tally.observed = _spikes_of(step, scaled)
    return (scaled, *(_membrane(x, shape) for shape in step.node.shapes[1:]))


def _membrane(x: Value, shape: Sequence[int]) -> Value:
    """What is left in the neuron, on the scale of its input: whoever reads it still multiplies."""
    left = unbounded(shape)
    if left.shape != x.shape[1:]:
        return left
    return replace(left, gain=x.gain[0], deferred=x.deferred)


def _spikes_of(step: Step, spikes: Value) -> Event | None:
    """What leaves the neuron, to be watched on data; it costs nothing here."""
    for user in step.node.users:
        node = step.graph[user]
        if node.op == "getitem" and node.args[1] == 0:
            return event(user, spikes, spread.constant(0, spikes.rank))
    return None


def declared(step: Step) -> Domain:
    """The domain that the neuron's operation declares for its output."""
    arguments: dict[str, Any] = {key: step[key] for key in step._arguments}
    domain = NEURON_OPS[step.node.op].domain(arguments)
    if domain is None:
        raise AuditError(
            f"{step.node.op} in {step.node.where} emits real numbers and has a rule as a neuron; such a rule needs a "
            "declared domain. Leave the rule out: the audit then takes the operation's equation."
        )
    return domain


def _leak(step: Step, decay: float | Value, count: int) -> None:
    if isinstance(decay, Value):
        if decay.base != "constant":
            raise AuditError(
                f"{step.node.op} in {step.node.where} has a decay that depends on the input; the audit takes one "
                "that depends on parameters alone. Use a fixed or learned decay."
            )
        decay = float(decay.literal.reshape(()))
    if decay in (0.0, 1.0):
        return
    if is_shift(decay):
        step.tally.shifts += count
        return
    exception(
        step, "leak", count, f"the leak {decay:.6g} is no power of two, nor one less a power of two",
        "a decay of 1/2, 1/4 or 3/4, which is a shift",
    )  # fmt: skip


def is_shift(decay: float) -> bool:
    """Whether multiplying by `decay` is a shift, or a shift and a subtraction.

    >>> is_shift(0.5), is_shift(0.75), is_shift(0.6)
    (True, True, False)
    """
    return math.frexp(decay)[0] == 0.5 or math.frexp(1 - decay)[0] == 0.5


def with_domain(value: Value, domain: Domain) -> bool:
    """Whether every number that `value` may hold lies in `domain`."""
    if value.base == "constant":
        whole = value.literal / domain.scale
        return bool(
            (whole == whole.round()).all() and whole.amin() >= domain.low and whole.amax() <= domain.high
        )
    if (
        value.base != "integer"
        or value.integers is None
        or value.has_offset
        or not spread.is_uniform(value.gain)
    ):
        return False
    ratio = float(value.gain.flatten()[0]) / domain.scale
    ends = value.integers.low * ratio, value.integers.high * ratio
    near = abs(ratio - round(ratio)) < 1e-9
    return near and domain.low - 1e-9 <= min(ends) and max(ends) <= domain.high + 1e-9
