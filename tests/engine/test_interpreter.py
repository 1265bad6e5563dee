"""Every operation against plain Python loops over integers."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikedrive.engine.arithmetic import (
    Add,
    Conv2d,
    Linear,
    MatMul,
    MaxPool2d,
    Multiply,
    Scale,
    Shift,
    Sum,
    SumSteps,
)
from spikedrive.engine.interpreter import EVALUATE, interpret
from spikedrive.engine.ir import Input, Neuron, Op, Value, check
from spikedrive.engine.layout import Concat, Pad, Permute, Reshape, Slice

fast = settings(max_examples=30, deadline=None)


def apply(op: Op, *inputs: tuple[np.ndarray, int]) -> tuple[np.ndarray, Value]:
    """The result of one operation on integer arrays (T, B, ...) with magnitude bounds, and what was inferred."""
    value = op.infer(*(Value(x.shape[2:], x.shape[0], -bound, bound, bound) for x, bound in inputs))
    result = EVALUATE[type(op)](op, value, *(x for x, _ in inputs))
    assert result.shape == (value.steps, inputs[0][0].shape[1], *value.shape)
    assert result.size == 0 or value.low <= result.min() <= result.max() <= value.high
    return result.astype(object), value


def integers(rng: np.random.Generator, bound: int, *shape: int) -> np.ndarray:
    return rng.integers(-bound, bound + 1, shape)


bounds = st.sampled_from([1, 4, 127, 2**20, 2**40])


@fast
@given(
    seed=st.integers(0, 2**32 - 1), bound=bounds, groups=st.sampled_from([1, 2, 4]), kernel=st.integers(1, 3),
    stride=st.integers(1, 3), padding=st.integers(0, 2), dilation=st.integers(1, 2),
)  # fmt: skip
def test_conv2d_is_its_equation(seed, bound, groups, kernel, stride, padding, dilation):
    rng = np.random.default_rng(seed)
    x = integers(rng, bound, 2, 1, 4, 6, 5)
    weight = integers(rng, 127, 4, 4 // groups, kernel, kernel).astype(np.int8)
    height, width = ((n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1 for n in (6, 5))
    bias, shift = integers(rng, 99, 4, height, width), rng.integers(0, 4, 4)
    y, _ = apply(
        Conv2d(name="y", inputs=("x0",), weight=weight, shift=shift, bias=bias, exponent=0, groups=groups,
               stride=(stride, stride), padding=(padding, padding), dilation=(dilation, dilation)),
        (x, bound),
    )  # fmt: skip
    for t, k, p, q in itertools.product(range(2), range(4), range(height), range(width)):
        total, first = 0, k // (4 // groups) * (4 // groups)
        for c, i, j in itertools.product(range(4 // groups), range(kernel), range(kernel)):
            row, column = p * stride + i * dilation - padding, q * stride + j * dilation - padding
            if 0 <= row < 6 and 0 <= column < 5:
                total += int(weight[k, c, i, j]) * int(x[t, 0, first + c, row, column])
        assert y[t, 0, k, p, q] == (total << int(shift[k])) + int(bias[k, p, q])


@fast
@given(seed=st.integers(0, 2**32 - 1), bound=bounds)
def test_linear_is_its_equation(seed, bound):
    rng = np.random.default_rng(seed)
    x, weight = integers(rng, bound, 1, 2, 3, 5), integers(rng, 127, 4, 5).astype(np.int8)
    shift, bias = rng.integers(0, 3, 4), integers(rng, 99, 4)
    y, _ = apply(
        Linear(name="y", inputs=("x0",), weight=weight, shift=shift, bias=bias, exponent=0), (x, bound)
    )
    for b, n, k in itertools.product(range(2), range(3), range(4)):
        total = sum(int(w) * int(v) for w, v in zip(weight[k], x[0, b, n], strict=True))
        assert y[0, b, n, k] == (total << int(shift[k])) + int(bias[k])


@fast
@given(seed=st.integers(0, 2**32 - 1), bound=st.sampled_from([1, 4, 2**13, 2**28]))
def test_matmul_is_its_equation(seed, bound):
    rng = np.random.default_rng(seed)
    a, b = integers(rng, bound, 2, 1, 2, 3, 4), integers(rng, bound, 1, 1, 2, 4, 2)
    y, _ = apply(MatMul(name="y", inputs=("x0", "x1")), (a, bound), (b, bound))
    for t, g, n, m in itertools.product(range(2), range(2), range(3), range(2)):
        assert y[t, 0, g, n, m] == sum(int(a[t, 0, g, n, k]) * int(b[0, 0, g, k, m]) for k in range(4))


def membrane(op: Neuron, x: list[int]) -> list[int]:
    """One neuron in exact fractions of the input's unit; decay as a real factor."""
    unit = Fraction(1, 2**op.fraction)
    keep, rest = Fraction(1, 2**op.decay), op.rest * unit
    v, out = rest, []
    for x_t in x:
        v = v if op.carry else rest
        total = 0
        for _ in range(op.repeats):
            h = keep * v + (1 - keep) * rest + (x_t * (1 - keep) if op.decay_input else x_t)
            s = sum(h >= step * unit for step in op.ladder)
            v = (rest if s else h) if op.hard else h - op.threshold * unit * s
            total += s
        out.append(total)
    return out


@fast
@given(
    x=st.lists(st.integers(-300, 300), min_size=1, max_size=6), decay=st.integers(0, 3), hard=st.booleans(),
    decay_input=st.booleans(), carry=st.booleans(), repeats=st.integers(1, 3), levels=st.integers(1, 4),
    threshold=st.integers(1, 99), rest=st.integers(-9, 9), strict=st.integers(0, 1),
)  # fmt: skip
def test_neuron_is_its_equation(x, decay, hard, decay_input, carry, repeats, levels, threshold, rest, strict):
    steps = len(x)
    fraction = decay * repeats * (steps if carry else 1)
    op = Neuron(
        name="y", inputs=("x0",), steps=steps, fraction=fraction, decay=decay, hard=hard, decay_input=decay_input,
        carry=carry, repeats=repeats, threshold=threshold << fraction, rest=rest << fraction,
        ladder=tuple((k * threshold << fraction) + strict for k in range(1, levels + 1)),
    )  # fmt: skip
    y, _ = apply(op, (np.array(x).reshape(steps, 1, 1), 300))
    assert y.flatten().tolist() == membrane(op, x)


def test_a_static_input_is_shown_at_every_step():
    op = Neuron(name="y", inputs=("x0",), steps=5, ladder=(3,), threshold=3, carry=True)
    y, value = apply(op, (np.ones((1, 2, 1), int), 1))
    assert y[:, 0, 0].tolist() == [0, 0, 1, 0, 0] and value.steps == 5


@fast
@given(
    seed=st.integers(0, 2**32 - 1), kernel=st.integers(1, 3), stride=st.integers(1, 2), inner=st.booleans()
)
def test_max_pool_is_its_equation(seed, kernel, stride, inner):
    rng, padding = np.random.default_rng(seed), kernel // 2
    x = integers(rng, 5, 1, 2, *((2,) if inner else ()), 5, 4)
    op = MaxPool2d(
        name="y", inputs=("x0",), kernel=(kernel, kernel), stride=(stride, stride), padding=(padding,) * 2
    )
    y, value = apply(op, (x, 5))
    for p, q in itertools.product(*map(range, value.shape[-2:])):
        rows = slice(max(p * stride - padding, 0), p * stride - padding + kernel)
        columns = slice(max(q * stride - padding, 0), q * stride - padding + kernel)
        assert (y[..., p, q] == x[..., rows, columns].max(axis=(-2, -1))).all()


@fast
@given(seed=st.integers(0, 2**32 - 1), left=st.integers(0, 20), power=st.integers(-5, 5))
def test_elementwise_operations_are_their_equations(seed, left, power):
    rng = np.random.default_rng(seed)
    a, b = integers(rng, 1000, 3, 2, 4, 1), integers(rng, 1000, 1, 2, 1, 5)
    exact_a, exact_b = a.astype(object), b.astype(object)
    assert (apply(Add(name="y", inputs=("x0", "x1")), (a, 1000), (b, 1000))[0] == exact_a + exact_b).all()
    assert (
        apply(Multiply(name="y", inputs=("x0", "x1")), (a, 1000), (b, 1000))[0] == exact_a * exact_b
    ).all()
    shifted, value = apply(Shift(name="y", inputs=("x0",), left=left), (a, 1000))
    assert (shifted == exact_a * 2**left).all() and value.exponent == -left
    scaled, value = apply(Scale(name="y", inputs=("x0",), power=power), (a, 1000))
    assert (scaled == exact_a).all() and value.scale == 2.0**power


@pytest.mark.parametrize("keep", [True, False])
def test_sums_and_means_keep_the_sum(keep):
    x = integers(np.random.default_rng(0), 100, 2, 3, 4, 5, 6)
    y, value = apply(Sum(name="y", inputs=("x0",), axes=(1, 2), keep=keep, mean=True), (x, 100))
    assert (y == x.sum(axis=(3, 4), keepdims=keep)).all()
    # 30 = 2 * 15: the power of two goes into the exponent
    assert (value.exponent, value.divisor) == (-1, 15) and value.scale == pytest.approx(1 / 30)
    y, value = apply(SumSteps(name="y", inputs=("x0",), steps=2, mean=True), (x, 100))
    assert (y[0] == x.sum(axis=0)).all() and value.scale == 0.5
    y, _ = apply(SumSteps(name="y", inputs=("x0",), steps=2), (x[:1], 100))
    assert (y[0] == 2 * x[0]).all()


def test_layout_moves_integers_and_changes_none():
    x = np.arange(2 * 3 * 4 * 5 * 6).reshape(2, 3, 4, 5, 6)
    y = {
        "reshape": apply(Reshape(name="y", inputs=("x0",), shape=(20, 6)), (x, 999))[0],
        "permute": apply(Permute(name="y", inputs=("x0",), axes=(2, 0, 1)), (x, 999))[0],
        "slice": apply(Slice(name="y", inputs=("x0",), axis=1, start=1, stop=4), (x, 999))[0],
        "pad": apply(Pad(name="y", inputs=("x0",), widths=((0, 0), (1, 2), (0, 1)), value=-7), (x, 999))[0],
        "concat": apply(Concat(name="y", inputs=("x0", "x1"), axis=0), (x, 999), (x[:1], 999))[0],
    }
    assert (y["reshape"] == x.reshape(2, 3, 20, 6)).all()
    assert (y["permute"] == x.transpose(0, 1, 4, 2, 3)).all()
    assert (y["slice"] == x[:, :, :, 1:4]).all()
    assert (y["pad"][:, :, :, 1:6, :6] == x).all() and (y["pad"][:, :, :, 0] == -7).all()
    assert (y["concat"][:, :, :4] == x).all() and (y["concat"][1, :, 4:] == x[0]).all()


def test_sums_past_fp32_and_fp64_stay_exact():
    """The type for products follows the proven bound: fp32, fp64, then 64-bit integers."""
    for bound in (2**10, 2**30, 2**54):
        x = np.array([bound, 1, -bound, 1, 1]).reshape(1, 1, 5)
        weight = np.array([[7, 7, 7, 7, 7]], np.int8)
        op = Linear(
            name="y", inputs=("x0",), weight=weight, shift=np.zeros(1, int), bias=np.zeros(1, int), exponent=0
        )
        y, value = apply(op, (x, bound))
        assert y.item() == 21 and value.peak == 35 * bound


def test_values_outside_their_bounds_are_caught():
    ops = [
        Input(name="x", inputs=(), shape=(2,)),
        Linear(name="y", inputs=("x",), weight=np.ones((1, 2), np.int8), shift=np.zeros(1, int),
               bias=np.zeros(1, int), exponent=0),
    ]  # fmt: skip
    values = check(ops)
    images = np.full((1, 1, 2), 255, np.uint8)
    assert interpret(ops, values, images, {"y"})["y"].item() == 510
    values["y"] = Value((1,), 1, 0, 509, 510)
    with pytest.raises(AssertionError, match=r"y left its proven bounds 0\.\.509"):
        interpret(ops, values, images, {"y"})


def test_empty_batches_have_the_right_shape():
    x = np.zeros((2, 0, 4, 6, 5), int)
    op = Conv2d(name="y", inputs=("x0",), weight=np.ones((3, 4, 3, 3), np.int8), shift=np.zeros(3, int),
                bias=np.zeros((3, 1, 1), int), exponent=0, padding=(1, 1))  # fmt: skip
    y, _ = apply(op, (x, 1))
    assert y.shape == (2, 0, 3, 6, 5) and math.prod(y.shape) == 0
