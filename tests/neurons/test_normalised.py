"""MPBN and its fold, Re-Loss and Hoyer beyond their golden files."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from spikedrive.errors import ConfigError, ShapeError, UnknownNameError
from spikedrive.neurons import LIF, MPBNLIF, MPRLIF, HoyerLIF, ThresholdLIF, hoyer_regulariser, rectify
from spikedrive.neurons.threshold import boundary
from spikedrive.ops import surrogate


def learned(channels: int = 8, dtype: torch.dtype = torch.float32, **options) -> MPBNLIF:
    """Weights of both signs and one that is zero, fixed to fire and fixed to be silent."""
    neuron = MPBNLIF(channels, **options).to(dtype).eval()
    with torch.no_grad():
        neuron.weight.normal_()
        neuron.weight[:2] = 0
        neuron.bias.normal_()
        neuron.bias[:2] = torch.tensor([2.0, -2.0])
        neuron.running_mean.normal_()
        neuron.running_var.uniform_(0.1, 3)
    return neuron


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    "options",
    [{}, {"strict": False}, {"reset": "soft", "decay_input": True}, {"decay": 0.5, "reset_value": 0.25}],
)
def test_the_fold_fires_exactly_where_the_normalised_membrane_does(options, dtype) -> None:
    neuron = learned(dtype=dtype, **options)
    folded = neuron.fold()
    assert set(folded.sign.tolist()) == {-1.0, 0.0, 1.0}
    x = (torch.randn(6, 16, 8, 4) * 2).to(dtype)
    state = neuron.rest(x)
    spikes, last = neuron.scan(x, state)
    again, last_again = folded.scan(x, state)
    assert torch.equal(spikes, again) and torch.equal(last, last_again)
    assert spikes[:, :, 0].all() and not spikes[:, :, 1].any() and 0 < spikes.mean() < 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_fold_is_exact_at_the_threshold_itself(dtype) -> None:
    neuron = learned(64, dtype, decay=0.0)
    folded = neuron.fold()
    bound = folded.threshold * folded.sign
    for _ in range(40):
        # each neighbour of the threshold among the numbers of this type, on both sides
        bound = torch.nextafter(bound, torch.full_like(bound, math.inf))
    for _ in range(80):
        x = bound.reshape(1, 1, 64)
        assert torch.equal(neuron(x), folded(x))
        bound = torch.nextafter(bound, torch.full_like(bound, -math.inf))


def test_the_boundary_of_a_rising_a_falling_and_a_constant_function() -> None:
    slope = torch.tensor([2.0, -1.0, 0.0, 0.0], dtype=torch.float64)
    offset = torch.tensor([-1.0, 0.25, 1.0, -1.0], dtype=torch.float64)
    quiet, loud, sign = boundary(lambda h: slope * h + offset > 0, slope)
    assert sign.tolist() == [1.0, -1.0, 0.0, 0.0]
    assert quiet.tolist() == [0.5, -0.25, -1.0, 1.0]
    assert loud[:2].tolist() == [math.nextafter(0.5, 1), -math.nextafter(0.25, 0)]


def test_mpbn_normalises_as_one_batchnorm_called_for_each_step() -> None:
    neuron, bn = MPBNLIF(3).double(), nn.BatchNorm2d(3).double()
    x = torch.randn(4, 5, 3, 2, 2, dtype=torch.float64)
    u = torch.zeros_like(x[0])
    for x_t, spikes in zip(x, neuron(x), strict=True):
        u = 0.25 * u + x_t
        s = (bn(u) > 0.5).double()
        assert torch.equal(spikes, s)
        u = u * (1 - s)
    torch.testing.assert_close(neuron.running_mean, bn.running_mean)
    torch.testing.assert_close(neuron.running_var, bn.running_var)


def test_mpbn_learns_nothing_from_an_empty_batch_or_a_single_number() -> None:
    neuron = MPBNLIF(2)
    neuron(torch.zeros(3, 0, 2))
    assert neuron.running_mean.tolist() == [0, 0] and neuron.running_var.tolist() == [1, 1]
    neuron(torch.ones(1, 1, 2))
    assert neuron.running_var.isfinite().all()


def test_a_neuron_that_writes_back_has_no_fold() -> None:
    with pytest.raises(
        ConfigError, match=r"write_back=True.*it takes neurons that only compare it\. Construct"
    ):
        MPBNLIF(write_back=True).fold()


def test_the_rectifier_moves_no_spike() -> None:
    x = torch.randn(8, 4, 50, dtype=torch.float64)
    plain = LIF(1.0, 0.5, decay_input=False, reset="soft", strict=True)
    # the original takes 1 off the membrane where a soft reset takes the threshold
    u = torch.zeros_like(x[0])
    for x_t, spikes in zip(x, MPRLIF()(x), strict=True):
        u = u + x_t
        s = (rectify(u) > 0.5).double()
        assert torch.equal(spikes, s) and torch.equal(s, plain(u[None])[0])
        u = u - s


def test_the_rectifier_rises_on_every_piece_and_keeps_its_ends() -> None:
    for low, high in ((-5, -1e-9), (1e-9, 1 - 1e-9), (1 + 1e-9, 5)):
        assert (rectify(torch.linspace(low, high, 999, dtype=torch.float64)).diff() > 0).all()
    ends = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
    assert rectify(ends).tolist() == [0, 0.5, 1]
    slope = torch.autograd.grad(rectify(ends).sum(), ends)[0]
    assert slope[0] == slope[2] == 1
    x = torch.tensor([0.0, 1.0, 1.5, -0.5], dtype=torch.float64).reshape(1, 1, 4).requires_grad_()
    assert torch.autograd.grad(MPRLIF()(x).sum(), x)[0].flatten().tolist() == [1, 1, 0, 0]


def test_mpbn_trains_with_the_window_that_the_rectifier_has_inside() -> None:
    u = torch.linspace(0.01, 0.99, 99, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(rectify(u).sum(), u)[0]
    torch.testing.assert_close(surrogate.tanh_window().gradient(u.detach() - 0.5), slope, rtol=0, atol=1e-12)


def test_hoyer_follows_its_batches_and_fires_by_their_mean_in_eval() -> None:
    neuron = HoyerLIF()
    assert not HoyerLIF().silent_at_zero and HoyerLIF(extremum="fixed").silent_at_zero
    x = torch.rand(3, 4, 20)
    neuron(x)
    expected = 0.0
    for x_t in x:
        c = x_t.clamp(0, 1)
        expected = 0.9 * expected + 0.1 * float(c.square().sum() / c.sum())
    assert float(neuron.running) == pytest.approx(expected, rel=1e-5)
    assert torch.equal(neuron.eval()(x), (x >= neuron.running).float()) and neuron.silent_at_zero


def test_hoyer_is_silent_on_a_silent_batch() -> None:
    neuron = HoyerLIF(extremum="channel", channels=2)
    x = torch.zeros(1, 3, 2, requires_grad=True)
    y = neuron(x)
    assert y.count_nonzero() == 0 and neuron.running.tolist() == pytest.approx([0.1, 0.1])
    assert torch.autograd.grad(y.sum(), x)[0].isfinite().all()


def test_the_hoyer_regulariser_counts_and_is_safe_at_zero() -> None:
    assert hoyer_regulariser(torch.full((7,), 0.3), 1.0).item() == pytest.approx(7)
    assert hoyer_regulariser(torch.tensor([0.0, -2.0, 0.4]), 1.0).item() == pytest.approx(1)
    x = torch.zeros(4, requires_grad=True)
    measure = hoyer_regulariser(x, 1.0)
    assert measure.item() == 0 and torch.autograd.grad(measure, x)[0].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MPBNLIF(0), ConfigError, r"MPBNLIF got channels=0; it takes a number at least 1\. Change channels"),
        (lambda: MPBNLIF(threshold=0), ConfigError, r"MPBNLIF got threshold=0; it takes a number above 0"),
        (lambda: MPBNLIF(decay=-0.5), ConfigError, r"MPBNLIF got decay=-0\.5"),
        (lambda: MPBNLIF(eps=0), ConfigError, r"MPBNLIF got eps=0"),
        (lambda: MPRLIF(decay=1.5), ConfigError, r"MPRLIF got decay=1\.5; it takes .* at most 1"),
        (lambda: HoyerLIF(threshold=-1), ConfigError, r"HoyerLIF got threshold=-1"),
        (lambda: HoyerLIF(extremum="channel"), ConfigError, r"extremum='channel' and channels=None; it takes .* Give"),
        (lambda: HoyerLIF(channels=3), ConfigError, r"extremum='layer' and channels=3"),
        (lambda: HoyerLIF(extremum="sum"), UnknownNameError, r"no extremum named 'sum'"),
        (lambda: ThresholdLIF(reset="none"), UnknownNameError, r"no reset named 'none'"),
        (lambda: MPBNLIF(3)(torch.zeros(2, 2, 4)), ShapeError, r"it takes \(T, B, 3, \.\.\.\).* Give the channels"),
        (lambda: HoyerLIF(extremum="channel", channels=3)(torch.zeros(2, 2, 4)), ShapeError, r"\(T, B, 3, \.\.\.\)"),
        (lambda: ThresholdLIF(torch.zeros(3))(torch.zeros(2, 2, 4)), ShapeError, r"\(T, B, 3, \.\.\.\).* Give one"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_refused(make, error, message, unchecked) -> None:
    with pytest.raises(error, match=message):
        make()
