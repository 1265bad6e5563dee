"""Recurrent layers of PyTorch: LSTM, GRU and the plain one, all steps in one operation.

Counts: every step multiplies the whole state by the recurrent weights, the first one included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, exception, materialise
from spikedrive.auditing.ledger import event
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.value import Value, of_real
from spikedrive.errors import AuditError


@dataclass(frozen=True)
class Cell:
    """What one unit does at one step: gates, functions, products and sums beside those of the weights.

    A sigmoid is one function, one division and one sum.
    """

    gates: int
    functions: int
    products: int
    sums: int


CELLS = {
    # three sigmoids and two tanh; f c + i g, o tanh(c)
    "aten.lstm.input": Cell(gates=4, functions=5, products=3 + 3, sums=3 + 1),
    # two sigmoids and one tanh; r (W h), n + z (h - n)
    "aten.gru.input": Cell(gates=3, functions=3, products=2 + 2, sums=2 + 2),
    "aten.rnn_tanh.input": Cell(gates=1, functions=1, products=0, sums=0),
    "aten.rnn_relu.input": Cell(gates=1, functions=0, products=0, sums=0),
}

PUT_A_NEURON = "a spiking neuron, whose state is its membrane"


@rule(*CELLS)
def recurrent(step: Step) -> tuple[Value, ...]:
    """All layers and directions, over all steps."""
    if step["train"] and step["dropout"]:
        raise AuditError(
            f"{step.node.op} in {step.node.where} drops at random; the audit takes eval mode. Call eval()."
        )
    cell, name, biases = CELLS[step.node.op], step.name("input"), bool(step["has_biases"])
    x = materialise(step, step.value("input"), name)
    state = _state(step)
    time = 1 if step["batch_first"] and x.rank == 3 else 0
    updates = x.count // x.shape[-1]
    cells = _weights(step)
    for i, (w_in, w_state, *projection) in enumerate(cells):
        if i < len(cells) // int(step["num_layers"]):
            _charge_input(step, x, name, w_in)
        else:
            _charge_real(step, updates * w_in.count)
        _charge_real(step, updates * sum(w.count for w in (w_state, *projection)))
        gates = updates * w_in.shape[0]
        units = gates // cell.gates
        step.tally.multiplications += cell.products * units
        step.tally.functions += cell.functions * units
        # in every gate the two products join, each with a bias
        step.tally.sums += cell.sums * units + gates * (3 if biases else 1)
        step.tally.compares += units if "relu" in step.node.op else 0
    exception(step, "recurrent cell", 0, "the state is a real number", PUT_A_NEURON)
    bounded = "relu" not in step.node.op and all(len(matrices) == 2 for matrices in cells)
    return _results(step, state, 1.0 if bounded else math.inf, float(x.shape[time]))


def _state(step: Step) -> list[Value]:
    """The first state and, of an LSTM, the first cell."""
    refs = step._arguments["hx"]
    several = isinstance(refs, (list, tuple))
    values = step["hx"] if several else [step.value("hx")]
    return [
        materialise(step, v, ref.name) for v, ref in zip(values, refs if several else [refs], strict=True)
    ]


def _weights(step: Step) -> list[list[Value]]:
    """The matrices of each layer and direction: input, state and, for an LSTM that has one, projection."""
    parameters = step["params"]
    if any(p.base != "constant" for p in parameters):
        raise AuditError(
            f"{step.node.op} in {step.node.where} has a weight that depends on the input; the audit has a rule for "
            "constant weights. Write the steps with torch.matmul."
        )
    each = len(parameters) // (int(step["num_layers"]) * (2 if step["bidirectional"] else 1))
    groups = [parameters[i : i + each] for i in range(0, len(parameters), each)]
    return [[p for p in group if p.rank == 2] for group in groups]


def _charge_real(step: Step, products: float) -> None:
    step.tally.multiplications += products
    step.tally.dense_macs += products


def _charge_input(step: Step, x: Value, name: str, weight: Value) -> None:
    """The first layer's input: additions where it is an integer that no product made."""
    if x.base == "integer" and x.origin != "product":
        charged = event(name, x, spread.constant(weight.shape[0], x.rank))
        step.tally.events.append((charged,))
        step.tally.observed, step.tally.domain = charged, x.domain
        step.tally.dense_macs += float(x.count) * weight.shape[0]
    else:
        _charge_real(step, float(x.count) * weight.shape[0])


def _results(step: Step, state: list[Value], largest: float, steps: float) -> tuple[Value, ...]:
    """All outputs, the last state and, of an LSTM, the last cell, to which each step adds one at most."""
    ends = [
        (min(0.0, float(v.low.amin())) - most, max(0.0, float(v.high.amax())) + most)
        for v, most in zip(state, (largest, steps), strict=False)
    ]
    return tuple(
        of_real(shape, spread.constant(low, len(shape)), spread.constant(high, len(shape)))
        for shape, (low, high) in zip(step.node.shapes, [ends[0], *ends], strict=True)
    )
