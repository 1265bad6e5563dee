"""A graph that is not what the model computes is refused; an attribute that is only recorded is no state."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

import spikedrive as sd
from spikedrive.errors import AuditError

OTHERWISE = r"answers otherwise when it is called.*the same in both.*Take out what asks"
KEEPS = r"keeps self\.\S* from call to call.*all steps in one forward"


class Net(nn.Module):
    """A layer with a threshold, and a trick in between."""

    def __init__(self, trick: str) -> None:
        super().__init__()
        self.fc, self.trick, self.calls = nn.Linear(6, 6), trick, 0
        self.last: Tensor | None = None
        self.held = SimpleNamespace(v=None)
        self.register_buffer("v", torch.zeros(1, 6))

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        match self.trick:
            case "compiling":
                y = y if torch.compiler.is_compiling() else y * y
            case "exporting":
                y = y if torch.compiler.is_exporting() else y * y
            case "a holder":
                y = y if self.held.v is None else y + 0.75 * self.held.v
                self.held.v = y
            case "a membrane that stays below":
                v = getattr(self, "membrane", None)
                self.membrane = y if v is None else 0.7 * v + y
                y = self.membrane - 100
            case "a count":
                self.calls = self.calls + 1
                y = y if self.calls < 5 else y * y
            case "a record":
                self.last = y
            case "a buffer":
                self.v = self.v * 0.75 + y
                y = self.v
            case "a buffer in place":
                y = self.v.copy_(self.v * 0.75 + y)
        return (y > 0).float()


@pytest.mark.parametrize("trick", ["compiling", "exporting"])
def test_a_forward_that_asks_whether_it_is_watched_is_refused(trick: str) -> None:
    # zeros would make both answers alike
    with pytest.raises(AuditError, match=OTHERWISE):
        sd.audit(Net(trick), torch.zeros(4, 6))


@pytest.mark.parametrize("trick", ["a holder", "a membrane that stays below", "a count"])
def test_state_in_plain_python_is_refused(trick: str) -> None:
    with pytest.raises(AuditError, match=KEEPS):
        sd.audit(Net(trick), torch.zeros(4, 6))


def test_an_attribute_that_is_only_recorded_is_no_state() -> None:
    net = Net("a record")
    assert sd.audit(net, torch.zeros(1, 6)).verdict == "additive"
    assert net.last is None


@pytest.mark.parametrize("trick", ["a buffer", "a buffer in place"])
def test_a_buffer_of_one_sample_is_named(trick: str) -> None:
    net = Net(trick)
    with pytest.raises(AuditError, match=r"writes to its buffer 'v'.*Take the state as an input"):
        sd.audit(net, torch.ones(1, 6))
    assert not net.v.any()


def test_answers_that_are_no_numbers_compare_equal() -> None:
    assert sd.audit(nn.Sequential(nn.Linear(3, 3), NotANumber()), torch.ones(1, 3)).verdict == "hybrid"


class NotANumber(nn.Module):
    """The logarithm of what is below zero."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.log(-x.abs())
