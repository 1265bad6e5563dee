"""The fast form of the integer neuron equals its twin to the last bit, forward and backward."""

from __future__ import annotations

import itertools

import pytest
import torch

from spikedrive.ops.ilif import eager, ilif_scan, reference


def edges(levels: int, threshold: float, dtype: torch.dtype) -> torch.Tensor:
    """Every half, every bound, and their nearest neighbours on both sides."""
    exact = torch.arange(-2, 2 * levels + 3, dtype=dtype) / 2 * threshold
    up = torch.nextafter(exact, torch.full_like(exact, torch.inf))
    down = torch.nextafter(exact, torch.full_like(exact, -torch.inf))
    return torch.cat([exact, up, down, -torch.zeros(1, dtype=dtype), torch.randn(64, dtype=dtype) * levels])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("levels", "threshold", "half_even", "closed", "scale"),
    list(itertools.product([1, 4], [1.0, 0.25], [True, False], [True, False], [1.0, 0.25])),
)
def test_equal_at_every_edge(dtype, levels, threshold, half_even, closed, scale, monkeypatch) -> None:
    options = {
        "levels": levels,
        "threshold": threshold,
        "half_even": half_even,
        "closed_gate": closed,
        "scale": scale,
    }
    x = edges(levels, threshold, dtype).reshape(1, 1, -1).requires_grad_()
    assert eager.applies(x, None, 1)
    y, _ = ilif_scan(x, **options)
    weight = torch.randn_like(y)
    (fast,) = torch.autograd.grad((y * weight).sum(), x)
    monkeypatch.setenv("SPIKEDRIVE_IMPL", "reference")
    assert not eager.applies(x, None, 1)
    z, _ = ilif_scan(x, **options)
    (slow,) = torch.autograd.grad((z * weight).sum(), x)
    assert torch.equal(y, z)
    torch.testing.assert_close(fast, slow, rtol=1e-6 if dtype == torch.float32 else 1e-14, atol=0)


def test_the_gate_at_its_bounds() -> None:
    x = torch.tensor([-(2.0**-149), 0.0, 4.0, 4.0 + 2.0**-21])
    assert reference.gate(x, 4, 1.0, True).tolist() == [False, True, True, False]
    assert reference.gate(x, 4, 1.0, False).tolist() == [False, False, False, False]
    ones = torch.ones(4)
    assert eager.backward(ones, x, 4, 1.0, True, 1.0).tolist() == [0.0, 1.0, 1.0, 0.0]
    assert eager.backward(ones, x, 4, 1.0, False, 1.0).tolist() == [0.0, 0.0, 0.0, 0.0]
