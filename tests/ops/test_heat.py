"""Heat conduction: against scipy's cosine transform, and against what is known of the heat equation."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import fft

from spikedrive.errors import ConfigError
from spikedrive.ops.heat import conduct, cosines, decays, products

H, W = 12, 17


def some(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def places(size: int) -> torch.Tensor:
    return torch.arange(size, dtype=torch.float64) + 0.5


def test_the_matrices_are_the_cosine_transform_of_scipy() -> None:
    x = some(3, H, W)
    spectrum = cosines(H, x) @ x @ cosines(W, x).T
    expected = torch.from_numpy(fft.dctn(x.numpy(), type=2, norm="ortho", axes=(-2, -1)))
    torch.testing.assert_close(spectrum, expected, rtol=0, atol=1e-12)
    back = torch.from_numpy(fft.idctn(spectrum.numpy(), type=2, norm="ortho", axes=(-2, -1)))
    torch.testing.assert_close(back, x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("k", [0.0, 0.3, 2.0])
def test_it_is_the_transform_and_back_of_scipy_with_decays_between(k: float) -> None:
    x = some(2, 3, H, W)
    spectrum = torch.from_numpy(fft.dctn(x.numpy(), type=2, norm="ortho", axes=(-2, -1)))
    kept = spectrum * decays(H, W, k, 1.5, x)
    expected = torch.from_numpy(fft.idctn(kept.numpy(), type=2, norm="ortho", axes=(-2, -1)))
    torch.testing.assert_close(conduct(x, k, time=1.5), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n", "m"), [(0, 0), (1, 0), (0, 3), (4, 2)])
def test_a_cosine_of_the_plate_keeps_its_shape_and_fades_as_the_equation_says(n: int, m: int) -> None:
    # cos(pi n y / H) cos(pi m x / W) is a solution for insulated borders, but for its size
    down, along = torch.cos(math.pi * n / H * places(H)), torch.cos(math.pi * m / W * places(W))
    x = down[:, None] * along
    k, time = 0.7, 2.5
    left = math.exp(-k * ((math.pi * n / H) ** 2 + (math.pi * m / W) ** 2) * time)
    torch.testing.assert_close(conduct(x, k, time=time), left * x, rtol=0, atol=1e-12)


def bell(size: int, middle: float, variance: float) -> torch.Tensor:
    """A bell of unit area on a rod with insulated ends: itself and its mirror images at both ends."""
    total = torch.zeros(size, dtype=torch.float64)
    for k in range(-3, 4):
        for centre in (2 * k * size + middle, 2 * k * size - middle):
            total += torch.exp(-((places(size) - centre) ** 2) / (2 * variance))
    return total / math.sqrt(2 * math.pi * variance)


@pytest.mark.parametrize("middle", [(20.0, 15.0), (2.5, 29.0)])
def test_a_bell_widens_by_twice_diffusivity_and_time_and_is_thrown_back_by_the_borders(middle) -> None:
    k, time, variance = 1.3, 4.0, 9.0
    before = bell(40, middle[0], variance)[:, None] * bell(32, middle[1], variance)
    later = variance + 2 * k * time
    after = bell(40, middle[0], later)[:, None] * bell(32, middle[1], later)
    torch.testing.assert_close(conduct(before, k, time=time), after, rtol=0, atol=1e-10)


def test_heat_is_kept_evened_out_and_never_below_its_least() -> None:
    x = some(4, H, W).abs()
    y = conduct(x, 0.8, time=5.0)
    torch.testing.assert_close(y.sum((-2, -1)), x.sum((-2, -1)))
    assert (y.amax((-2, -1)) < x.amax((-2, -1))).all() and (y.var((-2, -1)) < x.var((-2, -1))).all()
    even = conduct(x, 1.0, time=1e6)
    torch.testing.assert_close(even, x.mean((-2, -1), keepdim=True).expand_as(x))


def test_two_times_are_their_sum_and_none_is_nothing() -> None:
    x = some(2, H, W)
    twice = conduct(conduct(x, 0.4, time=1.0), 0.4, time=2.0)
    torch.testing.assert_close(conduct(x, 0.4, time=3.0), twice, rtol=0, atol=1e-12)
    torch.testing.assert_close(conduct(x, 0.4, time=0.0), x, rtol=0, atol=1e-12)


def test_each_channel_and_frequency_may_have_its_own_diffusivity() -> None:
    x, k = some(2, 3, H, W), some(3, H, W).abs()
    y = conduct(x, k)
    for c in range(3):
        torch.testing.assert_close(y[:, c], conduct(x[:, c], k[c]), rtol=0, atol=1e-12)
    torch.testing.assert_close(conduct(x, k[:, :1, :1])[:, 1], conduct(x[:, 1], float(k[1, 0, 0])))


def test_gradients_are_those_of_finite_differences() -> None:
    x, k = some(2, 3, 4).requires_grad_(), some(3, 4).abs().requires_grad_()
    assert torch.autograd.gradcheck(conduct, (x, k))


def test_time_runs_forward() -> None:
    with pytest.raises(ConfigError, match=r"got time=-1\.0; it takes at least 0"):
        conduct(some(H, W), 1.0, time=-1.0)


def test_products_are_four_matrices_and_the_decays() -> None:
    assert products(5, H, W) == 5 * H * W * (H + W + W + H + 1)
