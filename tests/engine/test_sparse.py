"""Sparse convolutions: the compiled sums equal NumPy's, and both equal a dense convolution read at the active sites."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from torch.nn import functional

from spikedrive import native
from spikedrive.engine.sparse import Rulebook, SubmanifoldConv
from spikedrive.errors import ConfigError, DtypeError, ShapeError, UnknownNameError, ValueRangeError

if not hasattr(native.run, "SparseConv") and os.environ.get("SPIKEDRIVE_STRICT") != "1":
    pytest.skip("the engine is missing, or older than its sparse convolutions", allow_module_level=True)
SIZES = {2: (3, 9, 11), 3: (2, 5, 6, 7)}


def sites(rng: np.random.Generator, axes: int, density: float = 0.3) -> np.ndarray:
    """Random active sites of some samples, in a random order, some of them at negative coordinates."""
    found = np.argwhere(rng.random(SIZES[axes]) < density).astype(np.int32)
    rng.shuffle(found)
    found[:, 1:] -= 3
    return found


def layer(rng: np.random.Generator, outputs: int, channels: int, *kernel: int) -> SubmanifoldConv:
    return SubmanifoldConv(
        rng.integers(-128, 128, (outputs, channels, *kernel), np.int8),
        shift=rng.integers(0, 3, outputs), bias=rng.integers(-999, 999, outputs),
    )  # fmt: skip


def densely(conv: SubmanifoldConv, where: np.ndarray, spikes: np.ndarray) -> np.ndarray:
    """PyTorch's convolution of the whole map in fp64, read where sites are active."""
    axes = where.shape[1] - 1
    batch, *place = (where + np.array([0, *[3] * axes])).T
    batches, *sizes = SIZES[axes]
    x = np.zeros((batches, spikes.shape[1], *sizes))
    x[(batch, slice(None), *place)] = spikes
    convolve = functional.conv2d if axes == 2 else functional.conv3d
    padding = [size // 2 for size in conv.weight.shape[2:]]
    y = convolve(torch.tensor(x), torch.tensor(conv.weight.astype(float)), padding=padding).numpy()
    return (y[(batch, slice(None), *place)].astype(np.int64) << conv.shift) + conv.bias


RUNTIMES = ["numpy", "native"]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("kernel", "outputs", "channels"),
    [((1, 1), 5, 3), ((3, 3), 70, 40), ((5, 5), 64, 2), ((3, 5), 1, 1), ((1, 1, 1), 3, 9), ((3, 3, 3), 130, 20),
     ((5, 5, 5), 4, 4), ((1, 3, 5), 65, 3)],
)  # fmt: skip
def test_it_is_the_dense_convolution_at_the_active_sites(
    runtime: str, kernel: tuple[int, ...], outputs: int, channels: int
) -> None:
    rng = np.random.default_rng(outputs)
    where, conv = sites(rng, len(kernel)), layer(rng, outputs, channels, *kernel)
    rules = Rulebook(where, kernel)
    # one rule-book for several maps: of spikes, and of integers that fire more than once
    for most in (1, 4, 255):
        spikes = (rng.random((len(where), channels)) < 0.4) * rng.integers(
            1, most + 1, (len(where), channels)
        )
        y = conv(rules, spikes.astype(np.uint8), runtime=runtime)
        assert y.dtype == np.int32 and np.array_equal(y, densely(conv, where, spikes))


def test_both_make_the_same_rules() -> None:
    rng = np.random.default_rng(0)
    for axes, kernel in ((2, 1), (2, 3), (2, 5), (3, 3), (3, (5, 1, 3))):
        for density in (0, 0.02, 0.5, 1):
            rules = Rulebook(sites(rng, axes, density), kernel)
            fast, slow = rules.arrays("native"), rules.arrays("numpy")
            assert [(a.dtype, a.tolist()) for a in fast] == [(a.dtype, a.tolist()) for a in slow]


def test_sums_of_more_than_sixteen_bits_are_exact() -> None:
    where = np.stack([np.zeros(25), *np.indices((5, 5)).reshape(2, -1)], 1).astype(np.int32)
    rules, ones = Rulebook(where, 3), np.full((25, 100), 255, np.uint8)
    for value in (-128, 127):
        conv = SubmanifoldConv(np.full((3, 100, 3, 3), value, np.int8))
        y = conv(rules, ones, runtime="native")
        assert np.array_equal(y, conv(rules, ones, runtime="numpy"))
        assert abs(y[12, 0]) == abs(value) * 255 * 900


def test_threads_change_nothing() -> None:
    rng = np.random.default_rng(1)
    where, conv = sites(rng, 3), layer(rng, 20, 30, 3, 3, 3)
    rules, spikes = Rulebook(where, 3), rng.integers(0, 2, (len(where), 30), np.uint8)
    one = conv(rules, spikes, runtime="native")
    assert all(np.array_equal(conv(rules, spikes, runtime="native", threads=n), one) for n in (2, 5))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_no_sites_give_no_sums(runtime: str) -> None:
    rules = Rulebook(np.zeros((0, 4), np.int32), 3)
    conv = layer(np.random.default_rng(0), 7, 2, 3, 3, 3)
    assert conv(rules, np.zeros((0, 2), np.uint8), runtime=runtime).shape == (0, 7)
    assert [len(array) for array in rules.arrays(runtime)] == [1, 0, 0]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_sites_at_the_ends_of_32_bits_have_no_neighbours_beyond(runtime: str) -> None:
    ends = np.array([[0, 2**31 - 1, 0], [0, -(2**31), 0], [7, 2**31 - 1, 0]], np.int32)
    assert [a.tolist() for a in Rulebook(ends, 3).arrays(runtime)] == [[0, 1, 2, 3], [4, 4, 4], [0, 1, 2]]


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    where = np.array([[0, 1, 2], [1, 1, 2], [0, 4, 4], [1, 1, 2]], np.int32)
    twice = r"site \(1, 1, 2\) twice, at 1 and 3; each site is there once\. Add up what fired there first"
    with pytest.raises(ValueRangeError, match=twice):
        Rulebook(where, 3)
    monkeypatch.setenv("SPIKEDRIVE_IMPL", "reference")
    with pytest.raises(ValueRangeError, match=twice):
        Rulebook(where, 3)
    where = where[:3]
    with pytest.raises(
        ShapeError, match=r"shape \(3, 2\); it takes \(N, 3\) or \(N, 4\).* Give a column of zeros"
    ):
        Rulebook(where[:, 1:], 3)
    with pytest.raises(DtypeError, match=r"dtype int64; it takes int32\. Convert them"):
        Rulebook(where.astype(np.int64), 3)
    for kernel in (2, 0, (3, 3, 3), (3, 4)):
        with pytest.raises(
            ShapeError, match=r"kernel \(.*\) for sites of 2 axes; it takes one odd size.* Give odd"
        ):
            Rulebook(where, kernel)
    weight, rules = np.ones((2, 5, 3, 3), np.int8), Rulebook(where, 3)
    with pytest.raises(ShapeError, match=r"weight of shape \(2, 5, 3\); it takes \(K, C, rows, columns\)"):
        SubmanifoldConv(weight[..., 0])
    with pytest.raises(DtypeError, match=r"weight of dtype float64; it takes int8\. Quantise it"):
        SubmanifoldConv(weight * 1.0)
    with pytest.raises(
        ShapeError, match=r"biases of shape \(3,\); it takes \(2,\), one an output\. Leave out"
    ):
        SubmanifoldConv(weight, bias=np.zeros(3))
    with pytest.raises(ValueRangeError, match=r"shifts -1\.\.0; it takes 0 to 31 bits.* Fold others"):
        SubmanifoldConv(weight, shift=[0, -1])
    conv, spikes = SubmanifoldConv(weight, shift=[0, 20]), np.ones((3, 5), np.uint8)
    with pytest.raises(
        ShapeError, match=r"spikes of shape \(3, 4\) .*; it takes \(3, 5\) and rules for \(3, 3\)"
    ):
        conv(rules, spikes[:, 1:])
    with pytest.raises(ShapeError, match=r"kernel \(5, 5\); it takes .* Make a Rulebook of the same sites"):
        conv(Rulebook(where, 5), spikes)
    with pytest.raises(DtypeError, match=r"spikes of dtype bool; it takes uint8\. Convert them"):
        conv(rules, spikes > 0)
    with pytest.raises(
        ValueRangeError, match=r"can reach 2406481920; it takes what fits 32 bits\. Lower the shifts"
    ):
        conv(rules, spikes * 51)
    with pytest.raises(ConfigError, match=r"threads=0; it takes 1 or more\. Leave it out"):
        conv(rules, spikes, threads=0)
    with pytest.raises(UnknownNameError, match=r"runtime named 'torch'.*native"):
        conv(rules, spikes, runtime="torch")  # type: ignore[arg-type]
    monkeypatch.setattr(native, "run", None)
    with pytest.raises(
        ConfigError, match=r"runtime='native'; it takes 'numpy' here, since the engine is missing"
    ):
        conv(rules, spikes, runtime="native")
    assert conv(rules, spikes).shape == (3, 2)


def test_the_compiled_engine_refuses_what_python_would() -> None:
    """It may be called without `engine.sparse`."""
    twice = np.zeros((2, 3), np.int32)
    with pytest.raises(
        ValueError, match=r"site \(0, 0, 0\) twice, at 0 and 1; each site is there once\. Add up"
    ):
        native.run.Rules(twice, [3, 3])
    for kernel in ([3], [3, 2], [3, -1]):
        with pytest.raises(ValueError, match=r"takes one more, and odd sizes\. Use engine\.sparse"):
            native.run.Rules(twice[:1], kernel)
    one, two = np.zeros(1, np.int32), np.zeros(2, np.int32)
    with pytest.raises(ValueError, match=r"2 outputs got 2 shifts and 1 biases; it takes one each"):
        native.run.SparseConv(np.zeros((2, 3, 9), np.int8), two, one)
    conv = native.run.SparseConv(np.zeros((2, 3, 9), np.int8), two, two)
    with pytest.raises(
        ValueError, match=r"spikes \(1, 4\) and a rule-book of 1 sites and 9 taps; it takes 3 channels"
    ):
        conv.run(native.run.Rules(twice[:1], [3, 3]), np.zeros((1, 4), np.uint8), 1)
