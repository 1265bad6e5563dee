"""Packed activations give the same gradients from a fraction of the memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spikedrive import native
from spikedrive.neurons import ILIF, LIF, TernaryLIF
from spikedrive.ops import packing


@pytest.fixture(params=["native", "plain"])
def form(request, monkeypatch) -> str:
    if request.param == "plain":
        monkeypatch.setattr(native, "train", None)
    return request.param


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(("low", "high", "bits"), [(0, 1, 1), (-1, 1, 2), (0, 15, 4)])
@pytest.mark.parametrize("scale", [1.0, 0.25, 1.5])
@pytest.mark.parametrize("shape", [(3, 5, 7), (1,), (0, 4), (2, 1025)])
def test_what_was_packed_comes_back(form, dtype, low, high, bits, scale, shape) -> None:
    x = torch.randint(low, high + 1, shape).to(dtype)
    if x.numel() > 1:
        x.view(-1)[:3] = torch.tensor([1, low, high])
    x = x * scale + 0.0
    packed = packing.pack(x)
    assert packed is not None and packed.data.numel() == packed.bits * -(-x.numel() // 8)
    assert packed.bits == bits or x.numel() <= 1
    assert torch.equal(packing.unpack(packed), x) and packing.unpack(packed).dtype == dtype
    assert not (packing.unpack(packed).signbit() & (x == 0)).any()


def test_a_scale_that_is_no_power_of_two_comes_back_to_the_last_bit(form) -> None:
    x = torch.randint(0, 5, (4, 1000)) * torch.tensor(0.3)
    packed = packing.pack(x)
    assert packed is not None and packed.bits == 4 and torch.equal(packing.unpack(packed), x)


@pytest.mark.parametrize("isa", [isa for isa in native.isas() if isa != "scalar"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_instruction_set_packs_alike(dtype, isa, monkeypatch) -> None:
    for low, high in ((0, 1), (-1, 1), (0, 15)):
        x = torch.randint(low, high + 1, (3, 1003)).to(dtype) + 0.0
        planes = []
        for name in (isa, "scalar"):
            monkeypatch.setenv("SPIKEDRIVE_ISA", name)
            packed = packing.pack(x)
            assert packed is not None and torch.equal(packing.unpack(packed), x)
            planes.append(packed.data)
            # a stranger in the last, ragged vector
            odd = x.clone()
            odd.view(-1)[-1] = -0.0
            assert packing.pack(odd) is None
        # what lies behind the last element has no meaning
        assert torch.equal(planes[0][:, :-1], planes[1][:, :-1])


def test_strides_come_back_too(form) -> None:
    x = torch.randint(0, 2, (2, 3, 4, 5)).float().to(memory_format=torch.channels_last)
    back = packing.unpack(packing.pack(x))
    assert back.stride() == x.stride() and torch.equal(back, x)


@pytest.mark.parametrize("value", [0.3, -2.0, 16.0, float("nan"), float("inf"), -0.0, 1e30])
def test_any_other_value_is_left_alone(form, value) -> None:
    x = torch.ones(3000)
    x[2999] = value
    assert packing.pack(x) is None
    assert (
        packing.pack(torch.ones(4, 4)[:, ::2]) is None
        and packing.pack(torch.ones(4, dtype=torch.int64)) is None
    )


def block(neuron: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 64), neuron, nn.Linear(64, 128), nn.LayerNorm(128), LIF(), nn.Linear(128, 16)
    )


def kept_bytes(model: nn.Module, x: torch.Tensor) -> int:
    held = {p.untyped_storage().data_ptr() for p in model.parameters()}
    storages = {}

    def note(value: object) -> object:
        tensor = value.data if isinstance(value, packing.Packed) else value
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in held:
            storages[storage.data_ptr()] = storage.nbytes()
        return value

    # the inner hooks see what the outer ones get from packing
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: note(packing._pack_saved(t)), packing._unpack_saved
    ):
        model(x)
    return sum(storages.values())


@pytest.mark.parametrize("make", [LIF, ILIF, lambda: ILIF(scale=0.3), TernaryLIF])
def test_gradients_are_the_same_to_the_last_bit(form, make) -> None:
    model = block(make())
    x = torch.randn(4, 16, 8, 64, requires_grad=True) * 2
    weight = torch.randn(4, 16, 8, 16)
    inputs = [*model.parameters()]
    expected = torch.autograd.grad((model(x) * weight).sum(), inputs)
    with packing.packed_activations():
        y = model(x)
    for a, b in zip(torch.autograd.grad((y * weight).sum(), inputs), expected, strict=True):
        assert torch.equal(a, b)


def test_it_saves_memory(monkeypatch) -> None:
    # three spike layers wide, and nothing else that a gradient needs
    model = nn.Sequential(LIF(), nn.Linear(256, 256), LIF(), nn.Linear(256, 256), LIF(), nn.Linear(256, 4))
    x = torch.randn(4, 32, 256, requires_grad=True)
    packed = kept_bytes(model, x)
    monkeypatch.setattr(packing, "LEAST", 10**9)
    assert packed < 0.45 * kept_bytes(model, x)
