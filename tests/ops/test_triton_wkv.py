"""The weighted key-value scan in Triton equals plain PyTorch."""

from __future__ import annotations

import pytest
import torch

from ops import triton_device
from spikedrive.ops.wkv import reference

pytestmark = pytest.mark.triton

DEVICE = triton_device.DEVICE


@pytest.fixture(autouse=True, scope="module")
def _interpreter() -> None:
    triton_device.prepare()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)], ids=str)
@pytest.mark.parametrize("sizes", [(1, 1, 3), (35, 3, 350)])
def test_outputs_and_gradients_equal_the_reference(sizes, dtype, tolerance) -> None:
    from spikedrive.ops.wkv import triton

    tokens, texts, channels = sizes
    x = torch.randn(tokens, texts, 2 * channels, dtype=dtype, device=DEVICE)
    x[..., :channels] *= 40
    state = torch.rand(texts, 3, channels, dtype=dtype, device=DEVICE) if tokens == 1 else None
    decay, first = -torch.rand(channels, dtype=dtype, device=DEVICE), x[0, 0, :channels] / 40
    plain, fast = (form.forward(x, state, decay, first, True) for form in (reference, triton))
    for ours, theirs in zip(fast, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    assert triton.forward(x, state, decay, first, False)[2].numel() == 0
    ends = (torch.randn_like(plain[0]), torch.randn_like(plain[1]) if tokens == 1 else None)
    backs = [form.backward(*ends, x, decay, first, plain[2]) for form in (reference, triton)]
    for theirs, ours in zip(*backs, strict=True):
        torch.testing.assert_close(
            ours, theirs, rtol=tolerance, atol=tolerance * float(theirs.abs().max()) + 1e-30
        )
