"""Attention over space and time: its outputs, the similarity that it names, whose tokens meet, and what it costs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import spikedrive as sd
from spikedrive.blocks import ConvBN, RepConv, SpaceTimeAttention
from spikedrive.errors import ConfigError, StateError, UnknownNameError
from spikedrive.models.metaformers import _layout, spike_video_former

T, B, C, H, W, HEADS = 4, 2, 12, 3, 2, 3
TOKENS = H * W


@pytest.mark.parametrize("similarity", ["hamming", "dot"])
def test_output_and_every_neuron_equal_the_golden_ones(similarity: str, golden) -> None:
    # the golden output is no run of the original, whose code is not public: it was written from the same description
    folder = golden(f"spikevideoformer_attn_{similarity}")
    attention = SpaceTimeAttention(32, 4, projection=RepConv, similarity=similarity)

    def ours(key: str) -> str:
        return spike_video_former.rename(f"block3.0.attn.{key}").removeprefix("stages.3.blocks.0.attention.")

    weights = torch.load(folder / "state_dict.pt")
    attention.load_state_dict({ours(key): _layout.as_conv2d(value) for key, value in weights.items()})
    attention.double().eval()
    seen: dict[str, Tensor] = {}
    for path, module in attention.named_children():
        module.register_forward_hook(lambda _m, _i, y, path=path: seen.__setitem__(path, y))
    y = attention(torch.load(folder / "input.pt").double())
    torch.testing.assert_close(y, torch.load(folder / "output.pt"), rtol=0, atol=1e-9)
    recorded = torch.load(folder / "neuron_outputs.pt")
    assert len(recorded) == 5
    for key, spikes in recorded.items():
        assert spikes.any(), key
        assert torch.equal(seen[ours(key)], spikes.double()), key


def lively(**config) -> SpaceTimeAttention:
    """One whose spikes and whose answers are neither rare nor everywhere."""
    attention = SpaceTimeAttention(C, HEADS, projection=ConvBN, **config).double()
    for name in "qkv":
        torch.nn.init.uniform_(getattr(attention, name).bn.bias, 1.0, 2.0)
    if attention.similarity == "hamming":
        attention.norm.bn.running_var.fill_(0.01)
    return attention.eval()


def record(attention: SpaceTimeAttention, x: Tensor) -> tuple[list[Tensor], Tensor]:
    """q, k and v (B, heads, T tokens, D), and what the norm gives (T, B, C, H, W), undone."""
    seen: dict[str, Tensor] = {}
    for name in ("q_neuron", "k_neuron", "v_neuron", "norm"):
        getattr(attention, name).register_forward_hook(lambda _m, _i, y, name=name: seen.__setitem__(name, y))
    attention(x)
    bn = attention.norm.bn
    z = seen["norm"] * (bn.running_var + bn.eps).sqrt().view(-1, 1, 1)
    return [flat(seen[f"{name}_neuron"]) for name in "qkv"], z


def flat(x_TBCHW: Tensor) -> Tensor:
    """Heads apart and the tokens of all frames in a row."""
    heads = x_TBCHW.flatten(3).unflatten(2, (HEADS, -1))
    return heads.permute(1, 2, 0, 4, 3).flatten(2, 3)


@pytest.mark.parametrize("scope", ["clip", "past", "frame"])
def test_values_are_weighed_by_the_hamming_similarity_of_tokens(scope: str) -> None:
    attention = lively(scope=scope)
    (q, k, v), z = record(attention, torch.randn(T, B, C, H, W).double() * 2)
    # channels in which two tokens agree, less those in which they differ, counted pair by pair
    agree = (q.unsqueeze(3) == k.unsqueeze(2)).sum(-1)
    signed = (2 * agree - C // HEADS).double()
    frame = torch.arange(T).repeat_interleave(TOKENS)
    seen = {
        "clip": torch.ones(len(frame), len(frame)).bool(),
        "past": frame[:, None] >= frame,
        "frame": frame[:, None] == frame,
    }[scope]
    expected = (signed * seen) @ v / (2 * C)
    assert expected.min() < 0 < expected.max()
    torch.testing.assert_close(flat(z), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("similarity", ["hamming", "dot"])
def test_the_cost_grows_with_the_number_of_frames_and_not_with_its_square(similarity: str) -> None:
    attention = lively(similarity=similarity)

    def flops(steps: int) -> int:
        with FlopCounterMode(display=False) as counter:
            attention(torch.randn(steps, 1, C, H, W).double())
        return counter.get_total_flops()

    assert flops(8) == 2 * flops(4) == 4 * flops(2)


@pytest.mark.parametrize("similarity", ["hamming", "dot"])
def test_the_past_streams_and_the_clip_refuses_to(similarity: str) -> None:
    x = torch.randn(T, B, C, H, W).double() * 2
    attention = lively(similarity=similarity, scope="past")
    first, state = sd.run(attention, x[:1])
    rest, _ = sd.run(attention, x[1:], state)
    torch.testing.assert_close(torch.cat([first, rest]), attention(x), rtol=0, atol=1e-12)
    assert rest.any() and not torch.equal(rest, attention(x[1:]))
    with pytest.raises(StateError, match=r"cannot stream: it sums over the whole clip.*scope='past'"):
        sd.run(lively(similarity=similarity), x)


def test_a_gradient_reaches_queries_keys_and_values() -> None:
    attention = lively()
    attention(torch.randn(T, B, C, H, W).double() * 2).square().sum().backward()
    for name in "qkv":
        assert getattr(attention, name).conv.weight.grad.any()


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"similarity": "cosine"}, UnknownNameError, "no similarity named 'cosine'"),
        ({"scope": "future"}, UnknownNameError, "no scope of attention named 'future'"),
        ({"heads": 5}, ConfigError, r"heads=5 for 12 channels; it takes a divisor"),
        ({"neuron": "ILIF"}, ConfigError, r"ILIF, which emits .* compares spikes of 0 or 1. Use LIF"),
    ],
)
def test_wrong_arguments_are_named(config: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SpaceTimeAttention(C, config.pop("heads", HEADS), projection=ConvBN, **config)
