"""Patch spikes: pictures as tokens of spikes."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from spikedrive.auditing import audit
from spikedrive.encoders import PatchSpikes
from spikedrive.errors import ConfigError, ShapeError
from spikedrive.neurons import ILIF, LIF
from spikedrive.state import run


def test_a_token_is_what_the_neurons_make_of_its_patch() -> None:
    encoder = PatchSpikes(2, 5, patch=3, steps=4, neuron=partial(LIF, threshold=0.1))
    x = torch.randn(2, 2, 6, 9)
    s = encoder(x)
    assert s.shape == (4, 2, 6, 5) and s.unique().tolist() == [0.0, 1.0]
    # token 4 is the second row of patches, second column
    patch = x[:, :, 3:6, 3:6].flatten(1)
    current = patch @ encoder.embed.weight.flatten(1).T + encoder.embed.bias
    assert torch.equal(s[:, :, 4], LIF(threshold=0.1)(current.expand(4, 2, 5)))


def test_more_steps_continue_where_the_neurons_stood() -> None:
    encoder, x = (
        PatchSpikes(1, 8, patch=2, steps=5, neuron=partial(LIF, threshold=0.2)),
        torch.rand(1, 1, 4, 4) * 3,
    )
    first, state = run(encoder, x, steps=2)
    then, _ = run(encoder, x, state, steps=3)
    assert torch.equal(torch.cat([first, then]), encoder(x))


def test_only_the_embedding_multiplies() -> None:
    net = torch.nn.Sequential(PatchSpikes(1, 8, patch=2, steps=2), torch.nn.Linear(8, 3, bias=False))
    result = audit(net, torch.rand(1, 1, 4, 4))
    assert result.verdict == "additive" and result.analog == ("0.embed",)
    assert net[0].domain == LIF().domain
    assert PatchSpikes(1, 8, patch=2, neuron=ILIF).domain == ILIF().domain


def test_what_is_wrong_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"PatchSpikes got patch=0; it takes a number at least 1. Change patch"
    ):
        PatchSpikes(1, 2, patch=0)
    for shape in ((1, 1, 5, 4), (1, 3, 4, 4), (1, 4, 4)):
        with pytest.raises(
            ShapeError, match=r"it takes \(B, 1, H, W\) with H and W multiples of 2. Resize or pad"
        ):
            PatchSpikes(1, 2, patch=2)(torch.zeros(shape))
