"""The value contract and the only flatten of time and batch."""

from __future__ import annotations

import pytest
import torch

from spikedrive.errors import ConfigError, ShapeError
from spikedrive.ops import Binary, Integer, Ternary, over_time


def test_domains_say_what_they_hold() -> None:
    assert (Binary().kind, Ternary().kind, Integer(4).kind) == ("binary", "ternary", "integer")
    assert (Binary().levels, Ternary().levels, Integer(4).levels, Integer(2, low=-6).levels) == (1, 1, 4, 6)
    assert str(Integer(4, 0.25)) == "integer 0..4 x 0.25" and str(Binary()) == "binary 0..1"
    with pytest.raises(ConfigError, match="low 3 above high 1"):
        Integer(1, low=3)
    with pytest.raises(ConfigError, match="scale 0"):
        Binary(0.0)


def test_over_time_is_a_view_and_time_blind() -> None:
    x = torch.randn(3, 2, 4)
    assert torch.equal(over_time(lambda y: y * 2, x), x * 2)
    assert over_time(lambda y: y, x).data_ptr() == x.data_ptr()
    assert over_time(torch.nn.Linear(4, 5), torch.randn(3, 0, 4)).shape == (3, 0, 5)
    with pytest.raises(ShapeError, match=r"shape \(3, 2\); it takes \(T, B, ...\). Encode first"):
        over_time(lambda y: y, torch.randn(3, 2))
