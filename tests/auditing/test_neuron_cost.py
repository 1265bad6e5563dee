"""The cost of a step is what a hand count of the equation gives."""

from __future__ import annotations

import pytest
import torch

from spikedrive.auditing.neuron_cost import NeuronCost, neuron_cost
from spikedrive.neurons import IF, ILIF, LIF, NILIF, PLIF, CurrentLIF, Neuron, TernaryLIF
from spikedrive.ops import domains, equation
from spikedrive.ops.domain import Binary


def cost(**counts: float) -> NeuronCost:
    return NeuronCost(**{key: float(count) for key, count in counts.items()})


@pytest.mark.parametrize(
    ("neuron", "expected"),
    [
        (IF(), cost(additions=1, compares=1, selections=1)),
        (IF(reset="soft"), cost(additions=2, compares=1)),
        # what is taken away, a threshold of no power of two, is chosen by the spike
        (IF(0.3, reset="soft"), cost(additions=2, compares=1, selections=1)),
        (LIF(), cost(additions=1, compares=1, shifts=1, selections=1)),
        # the gain of the input folds into the weights in front
        (LIF(decay_input=False), cost(additions=1, compares=1, shifts=1, selections=1)),
        (LIF(0.3), cost(additions=1, compares=1, multiplications=1, selections=1)),
        # 3/4 v is v less a quarter of it
        (LIF(0.75), cost(additions=2, compares=1, shifts=1, selections=1)),
        (CurrentLIF(0.5, 0.75), cost(additions=3, compares=1, shifts=2, selections=1)),
        (TernaryLIF(), cost(additions=2, compares=4, shifts=1, selections=1)),
        (PLIF(), cost(additions=1, compares=1, shifts=1, selections=1)),
        (PLIF(3.0, reset="soft"), cost(additions=2, compares=1, multiplications=1)),
        (ILIF(), cost(compares=4)),
        (ILIF(levels=7, scale=0.25), cost(compares=7)),
        (ILIF(threshold=0.25, rounding="half_up", gate="open"), cost(compares=4)),
        (ILIF(carry=True), cost(additions=2, compares=4, shifts=1)),
        (NILIF(levels=2, inner_steps=1), cost(compares=2)),
    ],
    ids=repr,
)
def test_it_equals_the_count_by_hand(neuron, expected) -> None:
    assert neuron_cost(neuron) == expected


def quadratic(x, v):
    out = []
    for x_t in x.unbind(0):
        h = v + (x_t + 3.0 * v * (v - 0.8)) / 5.0 + v.exp()
        s = equation.fire(h - 1.0, "atan", 2.0)
        v = equation.reset(h, s, 1.0, True, 0.0, True)
        out.append(s)
    return torch.stack(out), v


class Quadratic(Neuron):
    domain = Binary()

    def rest(self, x):
        return torch.zeros_like(x[0])

    def scan(self, x, state):
        return torch.ops.spikedrive.test_costly_scan(x, state)


class Whole(Quadratic):
    refuses_streaming = "it is asked to"
    steps = 5


@pytest.fixture(scope="module")
def _operation():
    yield equation.define(
        "test_costly_scan", "(Tensor x, Tensor v) -> (Tensor, Tensor)", quadratic, domain=lambda _: Binary()
    )
    # the registries are the process's own: other tests count what is in them
    domains.NEURON_OPS._items.pop("spikedrive.test_costly_scan.default", None)


@pytest.mark.usefixtures("_operation")
def test_products_and_functions_of_the_membrane_are_counted() -> None:
    # by hand: v - 0.8, x + product, v + quotient, + exp; v * (v - 0.8), its 3 and its 1/5
    found = neuron_cost(Quadratic())
    assert found == cost(additions=4, multiplications=3, compares=1, selections=1, functions=1)


@pytest.mark.usefixtures("_operation")
def test_the_whole_of_t_is_divided_by_its_steps() -> None:
    assert neuron_cost(Whole()) == neuron_cost(Quadratic())


def test_the_mean_over_the_features_of_a_layer() -> None:
    assert neuron_cost(LIF(), (6,)) == neuron_cost(LIF()) == neuron_cost(LIF(), (2, 3, 4))


def test_in_words() -> None:
    assert str(cost(additions=2, compares=1)) == "2 additions, 1 compare"
    assert str(NeuronCost()) == "nothing"
