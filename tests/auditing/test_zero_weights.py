"""A layer that starts from zero weights is audited like any other."""

from __future__ import annotations

import pytest
import torch

from spikedrive.auditing.rules.linear import accumulator_bits


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_rows_need_no_bits(dtype) -> None:
    weight = torch.zeros(2, 3, dtype=dtype)
    assert accumulator_bits(weight, 0, 1) == 1
    weight[0] = 0.5
    assert accumulator_bits(weight, 0, 1) == 10
