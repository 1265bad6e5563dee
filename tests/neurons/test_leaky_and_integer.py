"""What the leaky and the integer family must do beyond the contract of every neuron."""

from __future__ import annotations

import pytest
import torch

from spikedrive.errors import ConfigError, DtypeError, ShapeError, UnknownNameError
from spikedrive.neurons import IF, ILIF, LIF, NILIF, PLIF, get_neuron


@pytest.mark.parametrize("reset_value", [0.0, -0.3])
@pytest.mark.parametrize("detach_reset", [True, False])
@pytest.mark.parametrize("decay_input", [True, False])
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("learned", [True, False])
def test_backward_through_time_equals_autograd(
    learned, reset, decay_input, detach_reset, reset_value
) -> None:
    options = {
        "decay_input": decay_input,
        "reset": reset,
        "detach_reset": detach_reset,
        "reset_value": reset_value,
    }
    neuron = (PLIF(tau=3.0, **options) if learned else LIF(0.7, **options)).double()
    x = (torch.randn(5, 2, 9, dtype=torch.float64) + 0.5).requires_grad_()
    v = torch.randn(2, 9, dtype=torch.float64, requires_grad=True)
    y, last = neuron.scan(x, v)
    weight, weight_last = torch.randn_like(y), torch.randn_like(last)
    inputs = [x, v, *neuron.parameters()]
    found = torch.autograd.grad((y * weight).sum() + (last * weight_last).sum(), inputs)

    decay = 1 - neuron.w.sigmoid() if learned else neuron.decay
    spikes, end = naive(x, v, neuron, decay)
    expected = torch.autograd.grad((spikes * weight).sum() + (end * weight_last).sum(), inputs)
    assert torch.equal(spikes, y)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)


class Heaviside(torch.autograd.Function):
    """The step, with a surrogate as its derivative: the naive way, one autograd node a time step."""

    @staticmethod
    def forward(ctx, u, surrogate):
        ctx.save_for_backward(u)
        ctx.surrogate = surrogate
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx, g):
        return g * ctx.surrogate.gradient(ctx.saved_tensors[0]), None


def naive(x, v, neuron, decay):
    """The scan written step by step and left to autograd."""
    out = []
    for x_t in x:
        h = decay * v + (1 - decay) * neuron.reset_value + (1 - decay if neuron.decay_input else 1.0) * x_t
        s = Heaviside.apply(h - neuron.threshold, neuron.surrogate)
        kept = s.detach() if neuron.detach_reset else s
        v = (
            (1 - kept) * h + kept * neuron.reset_value
            if neuron.reset == "hard"
            else h - neuron.threshold * kept
        )
        out.append(s)
    return torch.stack(out), v


@pytest.mark.parametrize("make", [lambda: LIF(reset="soft", decay=1.0, decay_input=False), lambda: IF(reset="soft"),
                                  lambda: ILIF(carry=True, decay=1.0)])  # fmt: skip
def test_charge_is_conserved_without_leak(make) -> None:
    neuron = make().double()
    x = torch.rand(20, 2, 8, dtype=torch.float64)
    y, v = neuron.scan(x, neuron.rest(x))
    torch.testing.assert_close(y.sum(0) + v, x.sum(0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("levels", [1, 2, 4, 7])
def test_an_integer_equals_its_thermometer_of_binary_steps(levels) -> None:
    neuron = ILIF(levels=levels)
    s = neuron(torch.randn(2, 3, 40) * levels)
    bits = torch.stack([(s > d).to(s.dtype) for d in range(levels)])
    weight = torch.randn(40, 5, dtype=torch.float64)
    assert torch.equal(bits.sum(0), s)
    torch.testing.assert_close((bits.double() @ weight).sum(0), s.double() @ weight, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LIF(decay=-0.1), r"LIF got decay=-0.1; it takes a number at least 0 and at most 1"),
        (lambda: LIF(decay=float("nan")), r"LIF got decay=nan"),
        (lambda: LIF(threshold=0), r"LIF got threshold=0; it takes a number above 0"),
        (lambda: IF(threshold=-1), r"IF got threshold=-1"),
        (lambda: PLIF(tau=1.0), r"PLIF got tau=1.0; it takes a number above 1"),
        (lambda: ILIF(levels=0), r"ILIF got levels=0; it takes a number at least 1"),
        (lambda: ILIF(scale=0), r"ILIF got scale=0"),
        (lambda: NILIF(inner_steps=0), r"NILIF got inner_steps=0"),
    ],
)
def test_a_wrong_argument_is_refused(make, message) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LIF(reset="none"), r"no reset named 'none'.*hard, soft|no reset named 'none'"),
        (lambda: ILIF(rounding="up"), r"no rounding named 'up'.*The nearest: half_up"),
        (lambda: ILIF(gate="shut"), r"no gate named 'shut'"),
        (lambda: get_neuron("LFI"), r"no neuron named 'LFI'; \d+ are known. The nearest: .*LIF"),
    ],
)
def test_an_unknown_name_lists_the_nearest(make, message, unchecked) -> None:
    with pytest.raises(UnknownNameError, match=message):
        make()


def test_a_wrong_input_is_refused(unchecked) -> None:
    with pytest.raises(ShapeError, match=r"shape \(5,\); it takes \(T, B, ...\) with T >= 1. Encode first"):
        LIF()(torch.randn(5))
    with pytest.raises(ShapeError, match="T >= 1"):
        LIF().scan(torch.randn(0, 2, 3), torch.zeros(2, 3))
    with pytest.raises(
        DtypeError, match=r"dtype torch.int64; it takes floating point. Convert with x.float\(\)"
    ):
        ILIF()(torch.ones(2, 2, dtype=torch.int64))
    with pytest.raises(DtypeError, match=r"a membrane of dtype torch\.float64"):
        LIF().scan(torch.randn(2, 2, 3), torch.zeros(2, 3, dtype=torch.float64))
