"""Errors of optical flow, against values by hand."""

from __future__ import annotations

import math

import pytest
import torch

from spikedrive.errors import ShapeError
from spikedrive.tasks import flow


def test_endpoint_error_is_a_distance() -> None:
    assert flow.endpoint_error(torch.tensor([3.0, 4.0]).view(2, 1, 1), torch.zeros(2, 1, 1)).item() == 5


def test_angular_error_counts_time_as_one_pixel() -> None:
    right, still = torch.tensor([1.0, 0.0]).view(2, 1, 1), torch.zeros(2, 1, 1)
    assert flow.angular_error(right, still).item() == pytest.approx(math.pi / 4, abs=1e-6)
    assert flow.angular_error(right, right).item() == pytest.approx(0, abs=2e-3)


def test_the_angle_has_a_finite_slope_at_the_truth() -> None:
    guess = torch.ones(2, 1, 1, requires_grad=True)
    flow.angular_error(guess, torch.ones(2, 1, 1)).sum().backward()
    assert guess.grad is not None
    assert guess.grad.isfinite().all()


def test_the_loss_looks_where_the_mask_is_true() -> None:
    target, mask = torch.zeros(1, 1, 2, 1, 2), torch.tensor([True, False]).view(1, 1, 1, 2)
    guess = torch.tensor([[3.0, 100.0], [4.0, 100.0]]).view(1, 1, 2, 1, 2)
    assert flow.loss([guess, target], target, mask).item() == 2.5
    angle = math.acos(1 / math.sqrt(26))
    assert flow.loss([guess], target, mask, angle=2.0).item() == pytest.approx(5 + 2 * angle, abs=1e-5)
    assert flow.loss([guess], target, mask & False).item() == 0


def test_averages_are_over_places_and_not_over_batches() -> None:
    mask = torch.tensor([True, True]).view(1, 1, 1, 2)
    target = torch.tensor([[1.0, 100.0], [0.0, 0.0]]).view(1, 1, 2, 1, 2)
    one = flow.figures(target + torch.tensor([4.0, 0.0]).view(2, 1, 1), target, mask)
    two = flow.figures(target, target, mask & torch.tensor([True, False]))
    found = flow.averages([one, two])
    assert found["places"] == 3
    assert found["aee"] == pytest.approx(8 / 3)
    # 4 pixels are more than 5 % of 1, and less than 5 % of 100
    assert found["outliers"] == pytest.approx(1 / 3)
    assert found["still"] == pytest.approx(102 / 3)


def test_unequal_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match="endpoint_error"):
        flow.endpoint_error(torch.zeros(2, 3, 3), torch.zeros(2, 3, 4))
