"""Spikformer V2: no code was released, so that its counts are closed forms."""

from __future__ import annotations

from itertools import pairwise

import pytest

import spikedrive as sd
from spikedrive.errors import ConfigError
from spikedrive.models import get_card


@pytest.mark.parametrize(
    ("name", "quoted"), [("8_384", 29.11e6), ("8_512", 51.55e6), ("16_768", 172e6)]
)  # fmt: skip
def test_counts_are_closed_forms_and_those_that_are_quoted(name: str, quoted: float) -> None:
    depth, width = map(int, name.split("_"))
    stem = [width // 8, width // 4, width // 2, width]
    count = 3 * stem[0] * 9 + sum(a * b * 4 for a, b in pairwise(stem))
    # each stage: BatchNorm, and two 3 x 3 convolutions over four times the width with theirs
    count += sum(2 * w + 2 * 9 * 4 * w * w + 2 * 4 * w + 2 * w for w in stem)
    # q, k, v, proj and the mixer, biases and BatchNorms
    count += depth * (12 * width**2 + (1 + 4 + 1) * width + 2 * (4 + 4 + 1) * width)
    count += 1000 * width + 1000
    card = get_card(f"spikformer_v2_{name}")
    assert (card.params, card.params_derived) == (count, True)
    assert count == pytest.approx(quoted, rel=2e-3)


def test_a_width_that_the_stem_cannot_halve_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"width=20; it takes a multiple of 8\. Use 16"):
        sd.create_model("spikformer_v2_8_384", width=20)
