"""Attention against its equations written out, token by token."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks import ConvBN, RepConv, SpikeAttention
from spikedrive.errors import ConfigError, UnknownNameError
from spikedrive.neurons import ILIF, LIF

T, B, C, H, W, HEADS = 2, 2, 8, 3, 4, 2


def lively(attention: SpikeAttention) -> SpikeAttention:
    for norm in attention.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.constant_(norm.weight, 3.0)
            nn.init.constant_(norm.bias, 1.0)
    return attention.double()


def record(attention: SpikeAttention, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """What each neuron emits, what the last projection is given, and the answer."""
    seen: dict[str, Tensor] = {}
    for name, module in attention.named_children():
        if name.endswith("neuron"):
            module.register_forward_hook(
                lambda _m, i, y, name=name: seen.update({name: y, f"{name}_in": i[0]})
            )
        if name == "proj":
            module.register_forward_hook(lambda _m, i, _y: seen.update(z=i[0].unflatten(0, (T, B))))
    y = attention(x)
    return seen, y


def heads_of(x: Tensor) -> Tensor:
    """(T, B, C, H, W) -> (T, B, heads, tokens, channels of a head), written as the original does."""
    t, b, c, h, w = x.shape
    return x.flatten(3).transpose(-1, -2).reshape(t, b, h * w, HEADS, c // HEADS).permute(0, 1, 3, 2, 4)


@pytest.mark.parametrize("neuron", [LIF, partial(ILIF, levels=4)])
def test_sdsa3_is_q_times_k_transposed_times_v(neuron: object) -> None:
    attention = lively(
        SpikeAttention(
            C, HEADS, variant="sdsa3", projection=RepConv, neuron=neuron, scale=0.125, threshold=0.5
        )
    )
    seen, _ = record(attention, torch.randn(T, B, C, H, W).double())
    q, k, v = (heads_of(seen[f"{n}_neuron"]) for n in "qkv")
    expected = torch.zeros_like(q)
    for t, b, g in torch.cartesian_prod(torch.arange(T), torch.arange(B), torch.arange(HEADS)).tolist():
        similarity = q[t, b, g] @ k[t, b, g].T
        expected[t, b, g] = similarity @ v[t, b, g]
    assert expected.any()
    expected = (expected * 0.125).transpose(3, 4).reshape(T, B, C, H, W)
    assert torch.equal(seen["out_neuron_in"], expected)
    assert torch.equal(seen["z"], seen["out_neuron"])
    assert attention.out_neuron.threshold == 0.5


@pytest.mark.parametrize("pool", [False, True])
def test_sdsa1_gates_q_by_a_count_of_coincidences(pool: bool) -> None:
    attention = lively(SpikeAttention(C, HEADS, variant="sdsa1", projection=ConvBN, pool=pool))
    seen, _ = record(attention, torch.randn(T, B, C, H, W).double())
    q, k, v = (seen[f"{n}_neuron"] for n in "qkv")
    # the original's MaxPool3d((1, 3, 3)) on five axes widens the last two of them, whatever they are
    widen = partial(F.max_pool3d, kernel_size=(1, 3, 3), stride=1, padding=(0, 1, 1))
    if pool:
        k, v = widen(k), widen(v)
    q, kv = heads_of(q), heads_of(k) * heads_of(v)
    kv = widen(kv.contiguous().flatten(0, 1)).unflatten(0, (T, B)) if pool else kv
    count = kv.sum(-2, keepdim=True)
    assert count.any()
    assert torch.equal(heads_of(seen["out_neuron_in"]).reshape(count.shape), count)
    gate = seen["out_neuron"].reshape(T, B, HEADS, C // HEADS, 1).transpose(-1, -2)
    z = q * gate
    z = widen(z.flatten(0, 1)).unflatten(0, (T, B)) if pool else z
    assert torch.equal(seen["z"], z.transpose(3, 4).reshape(T, B, C, H, W))


def test_a_joint_projection_is_three() -> None:
    joint = SpikeAttention(C, HEADS, variant="sdsa3", projection=ConvBN, joint=True, scale=0.125).double()
    apart = SpikeAttention(C, HEADS, variant="sdsa3", projection=ConvBN, scale=0.125).double()
    for i, name in enumerate("qkv"):
        getattr(apart, name).conv.weight.data = joint.qkv.conv.weight.data[i * C : (i + 1) * C]
    apart.proj.load_state_dict(joint.proj.state_dict())
    x = torch.randn(T, B, C, H, W).double() * 3
    torch.testing.assert_close(joint(x), apart(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("joint", [False, True])
def test_values_may_have_more_channels_and_the_last_neuron_a_gain(joint: bool) -> None:
    quarters = partial(ILIF, levels=4, scale=0.25)
    attention = lively(
        SpikeAttention(
            C, HEADS, variant="sdsa3", projection=ConvBN, neuron=quarters, threshold=0.75, gain=2.0, value_ratio=3,
            joint=joint,
        )
    )  # fmt: skip
    seen, y = record(attention, torch.randn(T, B, C, H, W).double())
    q, k, v = (heads_of(seen[f"{n}_neuron"]) for n in "qkv")
    assert v.shape[-1] == 3 * q.shape[-1] and y.shape == (T, B, C, H, W)
    z = (q @ k.transpose(-1, -2) @ v).transpose(3, 4).reshape(T, B, 3 * C, H, W)
    assert torch.equal(seen["out_neuron_in"], z)
    assert torch.equal(seen["z"], (z / 0.75).clamp(0, 4).round() / 2)


def test_the_output_projection_may_differ() -> None:
    attention = SpikeAttention(
        C, HEADS, variant="sdsa1", projection=ConvBN, output=partial(ConvBN, bias=True)
    )
    assert attention.q.conv.bias is None
    assert attention.proj.conv.bias is not None


@pytest.mark.parametrize("scale", [1.0, 0.5, 2.0**-9, 4.0])
def test_powers_of_two_are_shifts(scale: float) -> None:
    assert SpikeAttention(C, HEADS, variant="sdsa3", projection=ConvBN, scale=scale).scale == scale


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"variant": "sdsa2"}, UnknownNameError, "no attention variant named 'sdsa2'"),
        ({"variant": "sdsa3", "scale": 0.1}, ConfigError, "scale=0.1; it takes a power of two"),
        ({"variant": "sdsa3", "scale": -0.5}, ConfigError, "scale=-0.5"),
        ({"variant": "sdsa3", "scale": float("nan")}, ConfigError, "scale=nan"),
        ({"variant": "sdsa3", "pool": True}, ConfigError, "sdsa3 no pool"),
        ({"variant": "sdsa1", "scale": 0.5}, ConfigError, "sdsa1 has no scale and no value_ratio"),
        (
            {"variant": "sdsa1", "value_ratio": 2},
            ConfigError,
            "value_ratio=2, pool=False; sdsa1 has no scale",
        ),
        ({"variant": "sdsa3", "heads": 3}, ConfigError, "heads=3 for 8 channels"),
        ({"variant": "sdsa3", "threshold": 0.0}, ConfigError, "threshold=0.0; it takes a number above 0"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SpikeAttention(C, arguments.pop("heads", HEADS), projection=ConvBN, **arguments)
