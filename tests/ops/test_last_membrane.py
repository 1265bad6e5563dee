"""A scan whose last membrane nobody keeps, and who sees the operation."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spikedrive.neurons import IF, LIF, PLIF
from spikedrive.ops import lif_scan, surrogate
from spikedrive.state import run

NEURONS = [IF, LIF, PLIF]
SIGMOID = surrogate.sigmoid()


class Seen(TorchDispatchMode):
    """The names of the operations that pass the dispatcher."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("implementation", ["reference", "auto"])
@pytest.mark.parametrize("kind", NEURONS)
def test_a_call_from_rest_gives_the_spikes_and_gradients_of_the_scan(kind, implementation, monkeypatch):
    monkeypatch.setenv("SPIKEDRIVE_IMPL", implementation)
    neuron, x = kind(), torch.randn(3, 2, 37)
    grads = []
    for forward in (neuron, lambda value: neuron.scan(value, neuron.rest(value))[0]):
        leaf = x.clone().requires_grad_()
        spikes = forward(leaf)
        spikes.backward(torch.linspace(-1, 1, x.numel()).view_as(x))
        grads.append((spikes.detach(), leaf.grad))
    assert torch.equal(grads[0][0], grads[1][0]) and grads[0][0].any()
    assert torch.equal(grads[0][1], grads[1][1]) and grads[0][1].any()


@pytest.mark.parametrize("implementation", ["reference", "auto"])
def test_an_unkept_membrane_is_empty_and_has_no_gradient(implementation, monkeypatch):
    monkeypatch.setenv("SPIKEDRIVE_IMPL", implementation)
    x = torch.randn(3, 2, 5, requires_grad=True)
    spikes, last = lif_scan(x, decay=0.5, threshold=1.0, surrogate=SIGMOID, keep_last=False)
    assert last.shape == (0,)
    (spikes.sum() + last.sum()).backward(retain_graph=True)
    with_spikes, x.grad = x.grad, None
    last.sum().backward()
    assert with_spikes.any() and not x.grad.any()


def test_a_watcher_sees_the_scan_and_its_gradient():
    x = torch.randn(3, 2, 5, requires_grad=True)
    with Seen() as seen:
        LIF()(x).sum().backward()
    assert (
        "spikedrive.lif_scan.default" in seen.names and "spikedrive.lif_scan_pullback.default" in seen.names
    )
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        LIF()(x).sum().backward()
    names = {event.key for event in profile.key_averages()}
    assert {"spikedrive::lif_scan", "spikedrive::lif_scan_pullback"} <= names


@pytest.mark.parametrize("implementation", ["reference", "auto"])
def test_the_gradient_has_no_gradient(implementation, monkeypatch):
    monkeypatch.setenv("SPIKEDRIVE_IMPL", implementation)
    x = torch.randn(3, 2, 5, requires_grad=True)
    (grad,) = torch.autograd.grad(LIF()(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.autograd.grad(grad.sum(), x)


def test_a_scan_of_ones_own_is_the_one_that_runs():
    class Doubled(LIF):
        def scan(self, x, state):
            return super().scan(2 * x, state)

    x = torch.full((2, 1, 3), 1.25)
    assert not LIF()(x).any() and Doubled()(x)[0].all()
    assert torch.equal(Doubled()(x), run(Doubled(), x)[0])


def test_a_lazily_negated_input_is_read_with_its_sign():
    x = torch._neg_view(torch.randn(3, 2, 40))
    assert x.is_neg()
    assert torch.equal(LIF()(x), LIF()(x.resolve_neg()))


def test_silence_stays_below_a_strict_threshold_of_zero_where_denormals_are_flushed():
    torch.set_flush_denormal(True)
    try:
        spikes, _ = lif_scan(
            torch.zeros(2, 1, 40), decay=0.5, threshold=0.0, surrogate=SIGMOID, strict=True, hard_reset=False
        )
    finally:
        torch.set_flush_denormal(False)
    assert not spikes.any()
