"""Surrogates have the constants of the originals and area or peak as documented."""

from __future__ import annotations

import math

import pytest
import torch

from spikedrive.errors import ConfigError, UnknownNameError
from spikedrive.ops import Surrogate, surrogate

# what SpikingJelly calls it: ours with its default constants, written in our terms
SPIKINGJELLY = {
    "PiecewiseQuadratic": surrogate.triangle(),
    "PiecewiseExp": surrogate.exponential(),
    "Sigmoid": surrogate.sigmoid(),
    "SoftSign": surrogate.soft_sign(),
    "SuperSpike": surrogate.super_spike(),
    "ATan": surrogate.atan(),
    "NonzeroSignLogAbs": surrogate.log_abs(),
    "Erf": surrogate.erf(),
    "PiecewiseLeakyReLU": surrogate.leaky_rectangular(),
    "SquarewaveFourierSeries": surrogate.fourier(),
    "S2NN": surrogate.s2nn(),
    "QPseudoSpike": surrogate.q_pseudo_spike(),
    "LeakyKReLU": surrogate.relu(),
    "FakeNumericalGradient": surrogate.numerical(),
    "LogTailedReLU": surrogate.log_tailed_relu(),
    "DeterministicPass": surrogate.straight_through(),
    "Rect": surrogate.rectangular(),
}


def test_every_surrogate_of_the_file_is_covered(golden) -> None:
    # the spike count is of integers, whose gate ILIF has
    names = set(torch.load(golden("sj_neurons") / "surrogates.pt")) - {"x", "MultiLevelSpikeCount"}
    assert names == set(SPIKINGJELLY)


@pytest.mark.parametrize("name", SPIKINGJELLY)
def test_the_gradient_equals_the_original(name, golden) -> None:
    entry = torch.load(golden("sj_neurons") / "surrogates.pt")
    found = SPIKINGJELLY[name].gradient(entry["x"])
    torch.testing.assert_close(found, entry[name]["grad"], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("make", "u", "expected"),
    [
        (surrogate.fast_sigmoid, 0.2, 1 / 36),
        (surrogate.sparse_fast_sigmoid, 1.2, 1 / 31**2),
        (surrogate.sparse_fast_sigmoid, 1.0, 0.0),
        (surrogate.spike_rate_escape, 0.5, 25 * math.exp(-0.5)),
        (surrogate.heaviside, 0.0, 0.0),
        (surrogate.heaviside, 0.1, 1.0),
        (surrogate.rectangular_closed, 0.5, 1.0),
        (surrogate.rectangular, 0.5, 0.0),
        (surrogate.relu, 0.0, 1.0),
        (surrogate.tanh_window, 0.0, 1.5 / math.tanh(1.5)),
        (surrogate.tanh_window, 0.5, 0.0),
        (surrogate.numerical, 0.0, 0.3),
        (surrogate.numerical, -5.0, 0.2),
        (surrogate.log_tailed_relu, 0.0, 0.0),
    ],
)
def test_single_values(make, u, expected) -> None:
    found = make().gradient(torch.tensor([u], dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", surrogate.FORMS)
def test_the_constructor_has_the_default_of_the_table(name) -> None:
    assert getattr(surrogate, name)() == Surrogate(name, surrogate.FORMS[name].default)


@pytest.mark.parametrize("name", surrogate.FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_dtype_and_shape_are_kept_and_far_values_are_finite(name, dtype) -> None:
    u = torch.tensor([[-1e4, -1.0, -0.0], [0.0, 0.3, 1e4]], dtype=dtype)
    slope = getattr(surrogate, name)().gradient(u)
    assert slope.dtype == dtype and slope.shape == u.shape and bool(slope.isfinite().all())


def test_a_form_of_ones_own() -> None:
    form = surrogate.Form("alpha |u|", 1.0, "nobody")
    try:
        surrogate.add_form("absolute", form)(lambda u, alpha: alpha * u.abs())
        assert Surrogate("absolute", 2.0).gradient(torch.tensor([-3.0])).tolist() == [6.0]
        assert surrogate.table()[-1] == ("absolute", "alpha |u|", 1.0, "nobody")
        with pytest.raises(
            ConfigError, match=r"'absolute' exists already; names are unique\. Choose another"
        ):
            surrogate.add_form("absolute", form)
    finally:
        del surrogate.FORMS["absolute"], surrogate.GRADIENTS["absolute"]


def area(s: Surrogate) -> float:
    u = torch.linspace(-2000, 2000, 800_001, dtype=torch.float64)
    return torch.trapezoid(s.gradient(u), u).item()


@pytest.mark.parametrize(
    "make",
    [
        surrogate.sigmoid, surrogate.atan, surrogate.rectangular, surrogate.triangle, surrogate.exponential,
        surrogate.soft_sign, surrogate.erf, surrogate.rectangular_closed,
    ],
)  # fmt: skip
@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0])
def test_each_is_the_derivative_of_a_step_of_height_one(make, alpha) -> None:
    assert area(make(alpha)) == pytest.approx(1, abs=1.5e-2)


def test_atan_equals_the_derivative_of_the_arctangent() -> None:
    u = torch.randn(50, dtype=torch.float64, requires_grad=True)
    y = torch.atan(torch.pi / 2 * 3.0 * u) / torch.pi
    torch.testing.assert_close(torch.autograd.grad(y.sum(), u)[0], surrogate.atan(3.0).gradient(u.detach()))


def test_bad_arguments() -> None:
    with pytest.raises(
        UnknownNameError, match=r"no surrogate named 'sigmoyd'; 23 are known\. The nearest: sigmoid"
    ):
        Surrogate("sigmoyd", 1.0)
    with pytest.raises(ConfigError, match=r"got alpha 0; it takes a number above 0\. Try 2"):
        surrogate.atan(0)
    with pytest.raises(ConfigError, match=r"got alpha 1\.0; it takes a number above 1\. Try 2"):
        surrogate.q_pseudo_spike(1.0)
    with pytest.raises(ConfigError, match=r"got alpha -0\.5; it takes a number of at least 0\. Try 0"):
        surrogate.log_tailed_relu(-0.5)
    with pytest.raises(ConfigError, match="got alpha nan"):
        surrogate.erf(math.nan)
