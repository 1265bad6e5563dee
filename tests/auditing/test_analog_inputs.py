"""Only the first input is read by analog layers: a state that comes back as an input multiplies."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import spikedrive as sd
from spikedrive.ops.domain import Binary, Domain


class Cell(nn.Module):
    """One step of a recurrent layer, its state an input and an output."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead, self.back = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        state = self.ahead(x) + self.back(state)
        return (state > 0).float(), state


@pytest.mark.parametrize(("inputs", "analog"), [((), ("ahead",)), ((Binary(),), ())])
def test_a_real_state_that_meets_a_weight_is_a_multiplication(
    inputs: tuple[Domain, ...], analog: tuple[str, ...]
) -> None:
    found = sd.audit(Cell(), (torch.rand(1, 4), torch.rand(1, 4)), inputs=inputs)
    assert (found.verdict, found.analog) == ("hybrid", analog)
    (left,) = found.exceptions
    assert (left.module, left.count, left.why) == ("back", 16, "a real value meets a weight")


def test_a_state_of_spikes_is_declared() -> None:
    found = sd.audit(Cell(), (torch.rand(1, 4), torch.ones(1, 4)), inputs=(None, Binary()))
    assert (found.verdict, found.analog) == ("additive", ("ahead",))


class Late(nn.Module):
    """Numbers of a table, and an image."""

    def __init__(self) -> None:
        super().__init__()
        self.names, self.ahead = nn.Embedding(3, 4), nn.Linear(4, 4)

    def forward(self, name: Tensor, x: Tensor) -> Tensor:
        return (self.names(name) + self.ahead(x) > 0).float()


def test_whole_numbers_in_front_leave_the_image_first() -> None:
    assert sd.audit(Late(), (torch.zeros(1, dtype=torch.long), torch.rand(1, 4))).analog == ("ahead",)
