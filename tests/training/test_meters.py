"""The firing rate: exact, and gone without a trace."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spikedrive.neurons import ILIF, TwoPoint
from spikedrive.training.meters import FiringRate


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_an_integer_counts_as_that_many_spikes(scale: float) -> None:
    model = nn.Sequential(ILIF(levels=4, scale=scale))
    firing = FiringRate()
    with firing.watching(model):
        model(torch.tensor([0.0, 1.0, 2.0, 9.0]).view(1, 1, 4))
    assert firing.totals() == (7.0, 4.0)


def test_real_numbers_are_no_spikes() -> None:
    model, firing = nn.Sequential(TwoPoint(), ILIF()), FiringRate()
    with firing.watching(model):
        model(torch.ones(1, 1, 4))
    # (1 + 2) three times, four neurons
    assert firing.totals() == (12.0, 4.0)


def test_hooks_live_only_while_watching() -> None:
    model = nn.Sequential(ILIF(), ILIF())
    firing = FiringRate()
    with pytest.raises(RuntimeError, match="inside"), firing.watching(model):
        raise RuntimeError("inside")
    assert not any(m._forward_hooks for m in model.modules())
    model(torch.ones(1, 1, 4))
    assert firing.totals() == (0.0, 0.0)
