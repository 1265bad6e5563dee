"""Select-and-merge attention: exact over what is chosen, causal to the token, and linear but for the choice."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import spikedrive as sd
from spikedrive.blocks.mixers import AttentionCache, Rotary, SelectMergeCache
from spikedrive.errors import ConfigError

HEADS, WIDTH = 2, 16


def given(tokens: int, batch: int = 2, seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(tokens, batch, 3 * WIDTH, generator=source, dtype=torch.float64)


def rotary(kind: Any = "ntk", trained: int = 8) -> Rotary:
    return Rotary(WIDTH // HEADS, kind=kind, trained=trained)


def naive(x: Tensor, *, segment: int, top: int, region: int, positions: Rotary | None) -> Tensor:
    """The same one token at a time, written from the docstring's words."""
    q, k, v = x.unflatten(2, (3, HEADS, -1)).unbind(2)
    y = torch.zeros_like(q)
    for b in range(x.shape[1]):
        for h in range(HEADS):
            for t in range(len(x)):
                seen = set(range(t // segment * segment, t + 1))
                for u in range(t // region * region, t + 1):
                    means = [
                        k[i : i + segment, b, h].mean(0) for i in range(0, u // segment * segment, segment)
                    ]
                    best = sorted(range(len(means)), key=lambda i: -float(q[u, b, h] @ means[i]))[:top]
                    seen |= {i * segment + j for i in best for j in range(segment)}
                at = torch.tensor(sorted(seen))
                query, keys = q[t : t + 1, b, h], k[at, b, h]
                if positions is not None:
                    theta = positions.frequencies(positions.octave(t), x)
                    query, keys = positions(query, torch.tensor([t]), theta), positions(keys, at, theta)
                weights = (query @ keys.T / (WIDTH // HEADS) ** 0.5).softmax(-1)
                y[t, b, h] = (weights @ v[at, b, h])[0]
    return y.flatten(2)


@pytest.mark.parametrize("positions", [None, rotary()])
@pytest.mark.parametrize(
    ("tokens", "segment", "top", "region"),
    [(23, 4, 2, 2), (17, 4, 1, 4), (9, 2, 1, 1), (1, 4, 2, 2), (8, 3, 2, 1)],
)
def test_it_equals_one_token_at_a_time(
    tokens: int, segment: int, top: int, region: int, positions: Rotary | None
) -> None:
    x, sizes = given(tokens), {"segment": segment, "top": top, "region": region}
    mixer = SelectMergeCache(HEADS, **sizes, rotary=positions).eval()
    torch.testing.assert_close(mixer(x), naive(x, **sizes, positions=positions), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [None, "plain", "ntk"])
@pytest.mark.parametrize("tokens", [1, 7, 32, 45])
def test_with_everything_chosen_it_is_exact_attention(kind: Any, tokens: int) -> None:
    positions = None if kind is None else rotary(kind)
    mixer = SelectMergeCache(HEADS, segment=4, top=99, region=2, rotary=positions).eval()
    exact = AttentionCache(HEADS, positions).eval()
    x = given(tokens).requires_grad_()
    ours, wanted = mixer(x), exact(x)
    torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-12)
    way = torch.randn_like(wanted)
    grads = [torch.autograd.grad((y * way).sum(), x)[0] for y in (ours, wanted)]
    torch.testing.assert_close(*grads, rtol=0, atol=1e-12)


def test_something_is_left_out_otherwise() -> None:
    x = given(45)
    assert not torch.allclose(
        SelectMergeCache(HEADS, segment=4, top=1, region=2)(x), AttentionCache(HEADS)(x)
    )


@pytest.mark.parametrize("sizes", [[1] * 21, [5, 1, 15], [3, 3, 3, 12], [20, 1]])
@pytest.mark.parametrize("kind", ["select_merge", "attention"])
def test_parts_equal_the_whole_across_octaves(kind: str, sizes: list[int]) -> None:
    mixer: Any = (
        AttentionCache(HEADS, rotary(trained=4))
        if kind == "attention"
        else SelectMergeCache(HEADS, segment=4, top=2, region=4, rotary=rotary(trained=4))
    )
    x = given(21)
    whole = mixer.eval()(x)
    stream = sd.Stream(mixer, along="tokens")
    parts = torch.cat([stream(part) for part in x.split(sizes)])
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-12)


def products(tokens: int, top: int) -> int:
    """Multiplications of one forward, choice and attention."""
    with FlopCounterMode(display=False) as counted:
        SelectMergeCache(HEADS, segment=16, top=top, region=4)(given(tokens, 1))
    return counted.get_total_flops() // 2


def test_attention_grows_with_the_text_and_the_choice_is_small() -> None:
    width, counts = WIDTH, {n: products(n, 2) for n in (1024, 2048, 4096)}
    for n, found in counts.items():
        # scores and sums over 9 segments of 16 keys, and one product a query and mean
        attention, choice = 2 * n * 9 * 16 * width, n * (n // 16) * width
        assert found == attention + choice
        assert found < n * n * width
    # exact attention takes 4 times as much for twice the text
    assert counts[4096] < 2.7 * counts[2048]


def test_the_state_grows_by_keys_values_and_means() -> None:
    mixer = SelectMergeCache(HEADS, segment=4, top=2, region=4)
    sizes = []
    for tokens in (8, 16):
        _, state = mixer.scan(given(tokens), None)
        sizes.append(sum(t.numel() for t in state))
    assert sizes[1] - sizes[0] == 8 * 2 * 2 * WIDTH * (1 + 1 / 8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"region": 3}, "region=3, segment=16; a region divides both. Change region or segment"),
        ({"rope": "ntk", "trained": 6}, "region=4, segment=16, trained=6; .* Change region or trained"),
        ({"top": 0}, "top=0; it takes a number at least 1"),
        ({"heads": 5}, "select_merge got 5 heads for 32 channels; it takes"),
        (
            {"heads": 16, "rope": "ntk"},
            "got 2 channels a head; it takes an even number of at least 4. Use fewer",
        ),
        ({"rope": "ntkk"}, "no kind of rotary positions named 'ntkk'"),
        ({"rope": "crd_ntk", "trained": 64, "longest": 32}, "longest=32; it takes a number at least 64"),
    ],
)
def test_other_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError if "named" not in message else sd.errors.UnknownNameError, match=message):
        sd.create_model("spiking_lm", mixer={"name": "select_merge", **arguments}, width=32, depth=1)
