"""Packed activations give the same gradients from a fraction of the memory."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spikedrive import native
from spikedrive.neurons import ILIF, LIF
from spikedrive.ops import packing


@pytest.fixture(params=["native", "plain"])
def form(request, monkeypatch) -> str:
    if request.param == "plain":
        monkeypatch.setattr(native, "train", None)
    return request.param


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(("top", "bits"), [(1, 1), (15, 4)])
@pytest.mark.parametrize("shape", [(3, 5, 7), (1,), (0, 4), (2, 1025)])
def test_what_was_packed_comes_back(form, dtype, top, bits, shape) -> None:
    x = torch.randint(0, top + 1, shape).to(dtype)
    if x.numel():
        x.view(-1)[0] = top
    packed = packing.pack(x)
    assert packed is not None and packed.bits == (bits if x.numel() else 1)
    assert packed.data.numel() == -(-x.numel() * packed.bits // 8)
    assert torch.equal(packing.unpack(packed), x) and packing.unpack(packed).dtype == dtype


def test_strides_come_back_too(form) -> None:
    x = torch.randint(0, 2, (2, 3, 4, 5)).float().to(memory_format=torch.channels_last)
    back = packing.unpack(packing.pack(x))
    assert back.stride() == x.stride() and torch.equal(back, x)


@pytest.mark.parametrize("value", [0.5, -1.0, 16.0, float("nan"), float("inf"), -0.0, 1e30])
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


@pytest.mark.parametrize("make", [LIF, ILIF])
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
