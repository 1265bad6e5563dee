"""Rotary positions: distances alone count, the base grows by octaves, and training sees far positions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from spikedrive.blocks.mixers import AttentionCache, Rotary

WIDTH = 8


def product(rotary: Rotary, at: int, of: int, octave: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, WIDTH, generator=source, dtype=torch.float64)
    theta = rotary.frequencies(octave, q)
    return rotary(q, torch.tensor([at]), theta) @ rotary(k, torch.tensor([of]), theta).T


def test_a_product_knows_the_distance_alone() -> None:
    rotary = Rotary(WIDTH, kind="plain")
    torch.testing.assert_close(product(rotary, 9, 4), product(rotary, 105, 100))
    assert not torch.allclose(product(rotary, 9, 4), product(rotary, 9, 5))


def test_the_fastest_pair_stays_and_the_slowest_halves_at_each_octave() -> None:
    rotary, like = Rotary(WIDTH, kind="ntk", trained=4), torch.zeros(1, dtype=torch.float64)
    theta = rotary.frequencies(torch.arange(4), like)
    torch.testing.assert_close(theta[:, 0], torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(theta[:, -1], theta[0, -1] * 0.5 ** torch.arange(4).double())
    # the usual form: base n^(D/(D-2)) for n times the trained length
    base = 10_000 * 8 ** (WIDTH / (WIDTH - 2))
    torch.testing.assert_close(theta[3], base ** (-torch.arange(0, WIDTH, 2, dtype=torch.float64) / WIDTH))
    assert [rotary.octave(t) for t in (0, 3, 4, 7, 8, 15, 16)] == [0, 0, 1, 1, 2, 2, 3]
    assert Rotary(WIDTH, kind="plain", trained=4).octave(99) == 0


def test_evaluation_stands_at_the_tokens_themselves() -> None:
    for kind in ("plain", "ntk", "crd_ntk"):
        positions, octaves = Rotary(WIDTH, kind=kind, trained=4).eval().places(9, begins=True)
        assert positions.tolist() == list(range(9))
        assert octaves == (((0, 0),) if kind == "plain" else ((0, 0), (4, 1), (8, 2)))


def test_training_cycles_through_lengths_and_leaves_a_stretch_out() -> None:
    rotary, gaps, grown = Rotary(WIDTH, kind="crd_ntk", trained=8, longest=60), set(), set()
    torch.manual_seed(0)
    for _ in range(400):
        positions, ((first, octave),) = rotary.places(8, begins=True)
        steps = positions.diff()
        assert first == 0 and int((steps != 1).sum()) <= 1 and int(steps.min()) >= 1
        assert int(positions[-1]) < min(8 << octave, 60)
        gaps.add(int(positions[-1]) - 7)
        grown.add(octave)
    assert grown == {0, 1, 2, 3} and max(gaps) > 45 and 0 in gaps
    # a text that goes on stands where it stood, and a longer one than was said is taken too
    assert rotary.places(8, begins=False).positions.tolist() == list(range(8))
    assert int(rotary.places(100, begins=True).positions[-1]) == 99


def test_a_drawn_place_depends_on_the_seed_alone() -> None:
    x = torch.randn(12, 2, 3 * 16)
    mixer = AttentionCache(2, Rotary(WIDTH, kind="crd_ntk", trained=12)).train()
    answers = []
    for seed in (0, 0, 1, 2):
        torch.manual_seed(seed)
        answers.append(mixer(x))
    assert torch.equal(answers[0], answers[1])
    assert not all(torch.allclose(answers[0], other) for other in answers[2:])


@pytest.mark.parametrize("kind", ["plain", "ntk", "crd_ntk"])
def test_half_precision_turns_in_single(kind) -> None:
    rotary = Rotary(WIDTH, kind=kind).eval()
    x = torch.randn(5, WIDTH, dtype=torch.bfloat16)
    theta = rotary.frequencies(0, x)
    assert theta.dtype == torch.float32
    assert rotary(x, torch.arange(5) + 4000, theta).dtype == torch.bfloat16
