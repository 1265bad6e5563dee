"""`fuse` folds normalised membranes into thresholds."""

from __future__ import annotations

import pytest
import torch

import spikedrive as sd
from spikedrive.neurons import MPBNLIF, ThresholdLIF

NANO = "meta_spikeformer_nano"


@pytest.mark.parametrize("write_back", [False, True])
def test_normalised_membranes_become_thresholds_where_nothing_is_written_back(write_back) -> None:
    neuron = {"name": "MPBNLIF", "write_back": write_back}
    model = sd.create_model(NANO, neuron=neuron, widths=(8, 16, 16)).double()
    x = torch.rand(3, 1, 28, 28, dtype=torch.float64)
    # statistics of its own in every place
    model.train()(x)
    model.eval()
    normalised = {path for path, m in model.named_modules() if isinstance(m, MPBNLIF)}
    fused = sd.fuse(model)
    kept = MPBNLIF if write_back else ThresholdLIF
    assert normalised and {path for path, m in fused.named_modules() if isinstance(m, kept)} == normalised
    answers = model(x)
    assert answers.std(0).min() > 0
    torch.testing.assert_close(fused(x), answers, rtol=0, atol=1e-9)
