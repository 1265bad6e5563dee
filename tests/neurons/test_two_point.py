"""Two-point cells: context modulates, and does nothing on its own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spikedrive.errors import ShapeError, UnknownNameError
from spikedrive.neurons import TwoPoint, modulate

FORMS = ["cooperator", "exponential"]


@pytest.mark.parametrize("form", FORMS)
def test_without_context_it_is_a_point_neuron(form) -> None:
    r = torch.randn(3, 2, 40, dtype=torch.float64)
    point = (r**2 + 2 * r).clamp(0, 6) if form == "cooperator" else r
    y = modulate(r, torch.zeros(()), form)
    torch.testing.assert_close(y, point, rtol=0, atol=1e-15)
    assert torch.equal(y, TwoPoint(form=form)(r))


@pytest.mark.parametrize("form", FORMS)
def test_a_context_that_agrees_amplifies_and_one_that_does_not_silences(form) -> None:
    r = torch.full((1, 1, 5), 0.7)
    y = modulate(r, torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0]), form).flatten()
    assert (y.diff() > 0).all() if form == "exponential" else (y.diff() >= 0).all()
    assert y[0] < 0.7 * y[2] and y[2] < 0.7 * y[4]


def test_context_alone_drives_the_cooperator_and_not_the_exponential_form() -> None:
    silent, context = torch.zeros(1, 1, 3), torch.tensor([-1.0, 0.0, 1.0])
    assert modulate(silent, context).flatten().tolist() == [0.0, 0.0, 2.0]
    assert modulate(silent, context, "exponential").count_nonzero() == 0


@pytest.mark.parametrize("form", FORMS)
def test_gradients_equal_those_of_the_equation(form) -> None:
    r = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    c = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda r, c: modulate(r, c, form), (r, c))


def test_a_population_is_its_own_context() -> None:
    cells = TwoPoint(nn.Linear(6, 6, bias=False))
    x = torch.randn(3, 2, 6)
    assert torch.equal(cells(x), modulate(x, x @ cells.context.weight.T))
    assert not torch.equal(cells(x), TwoPoint()(x))


def test_what_does_not_fit_is_refused(unchecked) -> None:
    with pytest.raises(
        ShapeError, match=r"context of shape \(5,\) for an input of shape \(1, 2, 3\); .* broadcasts"
    ):
        modulate(torch.zeros(1, 2, 3), torch.zeros(5))
    with pytest.raises(UnknownNameError, match=r"no form named 'cooperater'.*The nearest: cooperator"):
        TwoPoint(form="cooperater")
