"""Shapes, units and bounds: what a program knows of itself before it runs."""

from __future__ import annotations

import numpy as np
import pytest

from spikedrive.engine.arithmetic import Add, Conv2d, Linear, MatMul, MaxPool2d, Shift, Sum
from spikedrive.engine.ir import Input, Neuron, check
from spikedrive.engine.layout import Concat, Pad, Permute, Reshape, Slice
from spikedrive.errors import ShapeError

X = Input(name="x", inputs=(), shape=(2, 6, 5))


def conv(**changes):
    arguments = {
        "name": "y", "inputs": ("x",), "weight": np.ones((4, 2, 3, 3), np.int8), "shift": np.zeros(4, np.int8),
        "bias": np.zeros((4, 1, 1), np.int32), "exponent": -3,
    }  # fmt: skip
    return Conv2d(**{**arguments, **changes})


def test_bounds_are_tight_for_a_convolution():
    weight = np.zeros((1, 2, 3, 3), np.int8)
    weight[0, 0, 0, 0], weight[0, 1, 2, 2] = 100, -50
    value = check([X, conv(weight=weight, shift=np.array([2], np.int8), bias=np.full((1, 1, 1), 7))])["y"]
    assert (value.low, value.high, value.peak) == (-50 * 255 * 4 + 7, 100 * 255 * 4 + 7, 150 * 255)
    assert (value.shape, value.exponent, value.steps) == ((1, 4, 3), -3, 1)


def test_a_neurons_membrane_is_bounded_over_all_steps():
    lif = Neuron(name="y", inputs=("x",), ladder=(8 << 4,), threshold=8 << 4, hard=True, decay=1, carry=True,
                 decay_input=True, fraction=4, steps=4)  # fmt: skip
    value = check([X, lif])["y"]
    # v / 2 + x / 2 never passes the largest x
    assert (value.low, value.high, value.peak) == (0, 1, (255 << 4) + 4)
    plain = Neuron(name="y", inputs=("x",), ladder=(8,), threshold=8, hard=True, carry=True, steps=100)
    assert check([X, plain])["y"].peak >= 255 * 100


@pytest.mark.parametrize(
    ("op", "match"),
    [
        (conv(weight=np.ones((4, 3, 3, 3), np.int8)), r"'y' \(Conv2d\) got .* \(2, 6, 5\); it takes \(3, H, W\)"),
        (conv(bias=np.zeros((4, 6, 5), int)), r"a bias of \(4, 4, 3\)"),
        (conv(shift=np.full(4, 64)), "shifts of 0 to 63"),
        (Linear(name="y", inputs=("x",), weight=np.ones((4, 7), np.int8), shift=np.zeros(4, int),
                bias=np.zeros(4, int), exponent=0), r"it takes \(\.\.\., 7\)"),
        (Neuron(name="y", inputs=("x",), ladder=(3, 2), threshold=1, steps=1), "rising ladder"),
        (Neuron(name="y", inputs=("x",), ladder=(3,), threshold=1, steps=4, decay=1, carry=True), "4 fraction bits"),
        (Add(name="y", inputs=("x",)), "got 1 inputs; Add takes 2"),
        (MatMul(name="y", inputs=("x", "x")), r"it takes \(\.\.\., \(5,\), M\)"),
        (Shift(name="y", inputs=("x",), left=64), "a shift of 0 to 63"),
        (Sum(name="y", inputs=("x",), axes=(3,)), "axes that it has, each once"),
        (MaxPool2d(name="y", inputs=("x",), kernel=(3, 3), stride=(1, 1), padding=(2, 2)), "half the kernel"),
        (MaxPool2d(name="y", inputs=("x",), kernel=(9, 9), stride=(1, 1)), r"at least \(9, 9\)"),
        (Reshape(name="y", inputs=("x",), shape=(61,)), r"the size of \(61,\)"),
        (Permute(name="y", inputs=("x",), axes=(0, 0, 1)), "3 axes"),
        (Slice(name="y", inputs=("x",), axis=0, start=1, stop=3), r"1\.\.3 on axis 0"),
        (Concat(name="y", inputs=("x",), axis=3), "axis 3"),
        (Pad(name="y", inputs=("x",), widths=((0, 0),)), "1 axes"),
        (Add(name="y", inputs=("x", "z")), "reads 'z', which no earlier one gives"),
        (Add(name="x", inputs=("x", "x")), "'x' is there twice"),
        (Shift(name="y", inputs=("x",), left=60), r"can reach .*; integers have 64 bits"),
    ],
)  # fmt: skip
def test_operations_that_do_not_fit_say_so(op, match):
    with pytest.raises(ShapeError, match=match):
        check([X, op])


def test_sides_of_an_addition_share_their_unit():
    with pytest.raises(ShapeError, match=r"it takes 2\*\*0 / 1 for one unit on both sides"):
        check([X, Shift(name="s", inputs=("x",), left=1), Add(name="y", inputs=("x", "s"))])
