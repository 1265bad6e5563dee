"""tdBN equals its original, normalises over time, and folds."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from spikedrive.auditing import audit
from spikedrive.blocks import TdBN
from spikedrive.blocks.linear import conv_with_bias, fold_batch_norm
from spikedrive.errors import ConfigError, ShapeError
from spikedrive.neurons import LIF


def test_output_gradients_and_statistics_equal_the_original(golden) -> None:
    case = torch.load(golden("tdbn") / "cases.pt")
    block = TdBN(2, 0.5, alpha=1 / math.sqrt(2)).double()
    with torch.no_grad():
        block.weight.copy_(case["weight"])
        block.bias.copy_(case["bias"])
    x = case["x"].clone().requires_grad_()
    y = block(x)
    y.backward(case["upstream"])
    for found, expected in (
        (y, case["y"]), (x.grad, case["grad_x"]), (block.weight.grad, case["grad_weight"]),
        (block.bias.grad, case["grad_bias"]), (block.running_mean, case["running_mean_after_1"]),
        (block.running_var, case["running_var_after_1"]),
    ):  # fmt: skip
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_it_starts_with_mean_zero_and_the_threshold_as_deviation() -> None:
    y = TdBN(3, 0.7, alpha=0.5)(torch.randn(4, 8, 3, 6, 6) * 5 + 2).detach()
    flat = y.transpose(0, 2).flatten(1)
    torch.testing.assert_close(flat.mean(1), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(flat.std(1, correction=0), torch.full((3,), 0.35), rtol=1e-4, atol=0)
    # the statistics are joint, so that single steps keep their differences
    assert y.mean((1, 3, 4)).abs().max() > 1e-3


def trained() -> TdBN:
    block = TdBN(5, 0.5, alpha=0.5)
    with torch.no_grad():
        block.weight.normal_()
        block.bias.normal_()
    block(torch.randn(3, 4, 5, 2, 2) * 2 + 1)
    return block.eval()


def test_it_folds_into_the_convolution_in_front() -> None:
    block, conv = trained().double(), nn.Conv2d(2, 5, 3).double()
    x = torch.randn(3, 2, 2, 6, 6, dtype=torch.float64)
    fused = conv_with_bias(*fold_batch_norm(conv.weight, conv.bias, block.as_batch_norm()), conv)
    expected = block(conv(x.flatten(0, 1)).unflatten(0, (3, 2)))
    torch.testing.assert_close(fused(x.flatten(0, 1)).unflatten(0, (3, 2)), expected, rtol=0, atol=1e-12)
    # training goes on with the statistics of either
    plain = block.train().as_batch_norm()
    noise = torch.randn(6, 5, 2, 2, dtype=torch.float64)
    torch.testing.assert_close(
        plain(noise), block(noise.unflatten(0, (3, 2))).flatten(0, 1), rtol=0, atol=1e-12
    )
    torch.testing.assert_close(plain.running_var, block.running_var)


def test_the_audit_finds_nothing_to_multiply() -> None:
    found = audit(nn.Sequential(nn.Linear(5, 5), trained(), LIF()), torch.randn(3, 1, 5), batch_axis=1)
    assert found.verdict == "additive" and found.totals["multiplications"] == 3 * 5 * 5


def test_bad_arguments() -> None:
    with pytest.raises(
        ConfigError, match=r"TdBN got threshold=0; it takes a number above 0\. Change threshold"
    ):
        TdBN(3, 0)
    with pytest.raises(ConfigError, match=r"TdBN got alpha=nan"):
        TdBN(3, alpha=math.nan)
    with pytest.raises(ShapeError, match=r"it takes \(T, B, \.\.\.\)"):
        TdBN(3)(torch.randn(2, 3))
