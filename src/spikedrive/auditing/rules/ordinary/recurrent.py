"""Recurrent layers of PyTorch: LSTM, GRU and the plain one, all steps in one operation.

Counts: every step multiplies the whole state by the recurrent weights, the first one included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

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
    cell, x, name = CELLS[step.node.op], step.value("input"), step.name("input")
    weights = _weights(step)
    time = 0 if step["batch_first"] is False or x.rank == 2 else 1
    steps = x.shape[time]
    updates = x.count // x.shape[-1]
    per_direction = 2 if step["bidirectional"] else 1
    for layer in range(int(step["num_layers"])):
        for w_in, w_state, *projection in weights[layer * per_direction : (layer + 1) * per_direction]:
            first = layer == 0
            _charge_input(step, x, name, w_in) if first else _charge_real(step, updates * w_in.numel())
            _charge_real(step, updates * w_state.numel())
            for w in projection:
                _charge_real(step, updates * w.numel())
            units = updates * (w_in.shape[0] // cell.gates)
            step.tally.multiplications += cell.products * units
            step.tally.functions += cell.functions * units
            # the two products join in every gate, and each has its bias
            step.tally.sums += cell.sums * units + updates * w_in.shape[0] * (3 if step["has_biases"] else 1)
            step.tally.compares += units if "relu" in step.node.op else 0
    exception(step, "recurrent cell", 0, "the state is a real number", PUT_A_NEURON)
    return _results(step, steps)


def _weights(step: Step) -> list[list[torch.Tensor]]:
    """The matrices of each layer and direction: input, state and, for an LSTM that has one, projection."""
    parameters = step["params"]
    if any(p.base != "constant" for p in parameters):
        raise AuditError(
            f"{step.node.op} in {step.node.where} has a weight that depends on the input; the audit has a rule for "
            "constant weights. Write the steps with torch.matmul."
        )
    cells = int(step["num_layers"]) * (2 if step["bidirectional"] else 1)
    each = len(parameters) // cells
    groups = [parameters[i * each : (i + 1) * each] for i in range(cells)]
    return [[p.tensor for p in group if p.rank == 2] for group in groups]


def _charge_real(step: Step, products: float) -> None:
    step.tally.multiplications += products
    step.tally.dense_macs += products


def _charge_input(step: Step, x: Value, name: str, weight: torch.Tensor) -> None:
    """The first layer's input: additions where it is an integer that no product made."""
    x = materialise(step, x, name)
    if x.base == "integer" and x.origin != "product":
        charged = event(name, x, spread.constant(weight.shape[0], x.rank))
        step.tally.events.append((charged,))
        step.tally.observed, step.tally.domain = charged, x.domain
        step.tally.dense_macs += float(x.count) * weight.shape[0]
    else:
        _charge_real(step, float(x.count) * weight.shape[0])


def _results(step: Step, steps: int) -> tuple[Value, ...]:
    """All outputs, the last state and, of an LSTM, the last cell, which grows by at most one a step."""
    state = (
        [materialise(step, v, "") for v in step["hx"]] if isinstance(step["hx"], list) else [step.value("hx")]
    )
    lows, highs = (
        [float(b.amin()) for b in bounds] for bounds in ([v.low for v in state], [-v.high for v in state])
    )
    largest = math.inf if "relu" in step.node.op or _projects(step) else 1.0
    first = min(-largest, lows[0]), max(largest, -highs[0])
    made = [first, first]
    if len(step.node.shapes) == 3:
        made.append((lows[1] - steps, steps - highs[1]))
    return tuple(
        of_real(shape, spread.constant(low, len(shape)), spread.constant(high, len(shape)))
        for shape, (low, high) in zip(step.node.shapes, made, strict=True)
    )


def _projects(step: Step) -> bool:
    return any(len(matrices) > 2 for matrices in _weights(step))
