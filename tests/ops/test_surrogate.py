"""Surrogates have the constants of the originals and area or peak as documented."""

from __future__ import annotations

import pytest
import torch

from spikedrive.errors import ConfigError, UnknownNameError
from spikedrive.ops import Surrogate, surrogate


def area(s: Surrogate) -> float:
    u = torch.linspace(-2000, 2000, 4_000_001, dtype=torch.float64)
    return torch.trapezoid(s.gradient(u), u).item()


@pytest.mark.parametrize(
    "make", [surrogate.sigmoid, surrogate.atan, surrogate.rectangular, surrogate.triangle]
)
@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0])
def test_each_is_the_derivative_of_a_step_of_height_one(make, alpha) -> None:
    assert area(make(alpha)) == pytest.approx(1, abs=2e-3)


def test_peaks_of_the_originals() -> None:
    zero = torch.zeros(1, dtype=torch.float64)
    assert surrogate.sigmoid(4.0).gradient(zero) == 1.0
    assert surrogate.atan(2.0).gradient(zero) == 1.0
    assert surrogate.rectangular(0.5).gradient(zero) == 2.0
    assert surrogate.triangle(1.0).gradient(zero) == 1.0
    assert surrogate.straight_through().gradient(torch.randn(3)).tolist() == [1.0, 1.0, 1.0]


def test_atan_equals_the_derivative_of_the_arctangent() -> None:
    u = torch.randn(50, dtype=torch.float64, requires_grad=True)
    y = torch.atan(torch.pi / 2 * 3.0 * u) / torch.pi
    torch.testing.assert_close(torch.autograd.grad(y.sum(), u)[0], surrogate.atan(3.0).gradient(u.detach()))


def test_the_rectangle_is_open_at_its_edge() -> None:
    assert surrogate.rectangular(1.0).gradient(torch.tensor([0.5, 0.499, -0.5])).tolist() == [0.0, 1.0, 0.0]


def test_bad_arguments() -> None:
    with pytest.raises(
        UnknownNameError, match=r"no surrogate named 'sigmoyd'; 5 are known\. The nearest: sigmoid"
    ):
        Surrogate("sigmoyd", 1.0)
    with pytest.raises(ConfigError, match="got alpha 0; it takes a positive number"):
        surrogate.atan(0)
