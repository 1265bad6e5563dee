"""The weighted key-value scan: its meaning, and the compiled form against the plain one."""

from __future__ import annotations

import pytest
import torch

from spikedrive import native as modules
from spikedrive.errors import ShapeError
from spikedrive.ops.wkv import native, reference, wkv_scan


def inputs(tokens: int, batch: int, channels: int, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    x = torch.randn(tokens, batch, 2 * channels, dtype=dtype)
    # keys that would overflow without their running maximum
    x[..., :channels] *= 40
    decay = -torch.rand(channels, dtype=dtype).exp()
    return [x, torch.rand(batch, 3, channels, dtype=dtype), decay, torch.randn(channels, dtype=dtype)]


def test_it_is_the_weighted_mean_of_its_definition() -> None:
    x, _, decay, first = inputs(6, 2, 3)
    x[..., :3] /= 40
    k, v = x.chunk(2, -1)
    y, _ = wkv_scan(x, None, decay, first)
    for t in range(6):
        weights = [torch.exp(decay * (t - 1 - j) + k[j]) for j in range(t)] + [torch.exp(first + k[t])]
        wanted = sum(w * v[j] for j, w in enumerate(weights)) / sum(weights)
        torch.testing.assert_close(y[t], wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("tokens", [1, 33])
def test_gradients_are_those_of_the_equation(tokens: int) -> None:
    x, state, decay, first = inputs(tokens, 2, 2)
    x[..., :2] /= 40
    if tokens == 33:
        given = [t.detach().requires_grad_() for t in (x, decay, first)]
        assert torch.autograd.gradcheck(lambda x, w, u: wkv_scan(x, None, w, u)[0][::8], given)
    given = [t.detach().requires_grad_() for t in (x, state, decay, first)]
    # the exponent is no variable of its own: what it scales is
    y, last = wkv_scan(*given)
    (y.sum() + (last[:, :2] * torch.arange(2.0)).sum()).backward()
    grads = [t.grad for t in given]
    again = [t.detach().clone().requires_grad_() for t in given]
    x, (p, q, o), (w, u), total = again[0], again[1].unbind(1), again[2:], torch.zeros((), dtype=x.dtype)
    for row in x:
        k, v = row.chunk(2, -1)
        n = torch.maximum(o, u + k).detach()
        a, b = (o.detach() - n).exp(), (u + k - n).exp()
        total = total + ((a * p + b * v) / (a * q + b)).sum()
        m = torch.maximum(w + o, k).detach()
        c, d = (w + o.detach() - m).exp(), (k - m).exp()
        p, q, o = c * p + d * v, c * q + d, m
    (total + (torch.stack((p, q), 1) * torch.arange(2.0)).sum()).backward()
    for ours, theirs in zip(
        [grads[0], grads[2], grads[3]], [again[0].grad, again[2].grad, again[3].grad], strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(grads[1][:, :2], again[1].grad[:, :2], rtol=1e-9, atol=1e-10)


@pytest.mark.skipif(modules.train is None, reason="the compiled module is missing")
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6), (torch.bfloat16, 0)]
)
@pytest.mark.parametrize("isa", modules.isas())
@pytest.mark.parametrize("sizes", [(1, 1, 1), (33, 2, 67), (64, 3, 130), (5, 0, 4)])
def test_the_compiled_form_is_the_plain_one(sizes, isa, dtype, tolerance, monkeypatch) -> None:
    monkeypatch.setenv("SPIKEDRIVE_ISA", isa)
    x, state, decay, first = inputs(*sizes, dtype=dtype)
    state = None if sizes[0] == 33 else state
    plain = reference.forward(x, state, decay, first, True)
    fast = native.forward(x, state, decay, first, True)
    # bfloat16 rounds what float32 computes: one unit in the last place where the two lie on either side
    bound = (
        {"rtol": 2**-7, "atol": 1e-5} if dtype == torch.bfloat16 else {"rtol": tolerance, "atol": tolerance}
    )
    for ours, theirs in zip(fast, plain, strict=True):
        torch.testing.assert_close(ours, theirs, **bound)
    grad, grad_last = torch.randn_like(plain[0]), torch.randn_like(plain[1])
    given = (grad, None if sizes[0] == 33 else grad_last, x, decay, first, plain[2])
    for ours, theirs in zip(native.backward(*given), reference.backward(*given), strict=True):
        scale = float(theirs.abs().max()) if theirs.numel() else 0.0
        wide = 2**-6 if dtype == torch.bfloat16 else 20 * tolerance
        torch.testing.assert_close(ours, theirs, rtol=wide, atol=wide * scale + 1e-30)


def test_strided_input_and_chunks() -> None:
    x, _, decay, first = inputs(12, 2, 4)
    y, last = wkv_scan(x.transpose(0, 1).contiguous().transpose(0, 1), None, decay, first)
    head, state = wkv_scan(x[:5], None, decay, first)
    tail, end = wkv_scan(x[5:], state, decay, first)
    torch.testing.assert_close(torch.cat((head, tail)), y, rtol=0, atol=1e-12)
    torch.testing.assert_close(end, last, rtol=0, atol=1e-12)


def test_another_width_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"x of shape \(2, 1, 7\) for 3 decays .* it takes \(L, B, 2 C\)"):
        wkv_scan.__wrapped__(torch.zeros(2, 1, 7), None, torch.zeros(3), torch.zeros(3))
