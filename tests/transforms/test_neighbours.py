"""Which layers a repair may change: those whose own weight is read once, by one operation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import spikedrive as sd


class Limited(nn.Linear):
    """A layer that reads a function of its weight."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight.clamp(-0.2, 0.2), self.bias)


class Scaled(nn.Module):
    """One output, which a constant makes five."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.constant = nn.Linear(4, 1), nn.Parameter(torch.rand(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * self.constant


class Both(nn.Module):
    """The same input to both parts."""

    def __init__(self, stays: nn.Module, folds: nn.Module) -> None:
        super().__init__()
        self.stays, self.folds = stays, folds

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.stays(x), self.folds(x)


def normalised(layer: nn.Module) -> nn.Module:
    return nn.Sequential(layer, nn.BatchNorm1d(4))


def twice() -> nn.Module:
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.BatchNorm1d(4), layer, nn.BatchNorm1d(4))


@pytest.mark.parametrize(
    "build",
    [
        Scaled,
        twice,
        lambda: normalised(Limited(4, 4)),
        lambda: normalised(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))),
    ],
    ids=["one output made five", "twice", "limited", "weight norm"],
)
def test_a_layer_that_cannot_take_a_constant_stays_and_its_neighbours_are_repaired(
    build: Callable[[], nn.Module],
) -> None:
    torch.manual_seed(0)
    net, x = Both(build(), normalised(nn.Linear(4, 4))).eval(), torch.randn(3, 4)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    done = sd.make_additive(net, example=x)
    assert [step.module for step in done.applied] == ["folds.1"] and not done.left_out
    for mine, its in zip(done.model(x), net(x), strict=True):
        torch.testing.assert_close(mine, its)
