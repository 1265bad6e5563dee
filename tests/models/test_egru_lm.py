"""The EGRU language model: the published layout, and its errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import spikedrive as sd
from spikedrive.errors import CheckpointError, ConfigError

TINY = {"width": 6, "widths": (8, 6), "vocabulary": 11}


def published(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The model's weights under the names of the original."""
    ours, saved = model.state_dict(), {}
    names = {
        "kernel": "input_weight", "recurrent_kernel": "recurrent_weight", "bias": "input_bias",
        "recurrent_bias": "recurrent_bias", "thr": "threshold",
    }  # fmt: skip
    for layer in range(2):
        saved |= {f"rnns.{layer}.{theirs}": ours[f"cells.{layer}.{name}"] for theirs, name in names.items()}
        saved |= {f"rnns.{layer}.{name}": torch.tensor(3.6) for name in ("_max_norm", "dampening_factor")}
    table = ours["table.weight"]
    return saved | {
        "embeddings.weight": table,
        "decoder.decoder.weight": table,
        "decoder.decoder.bias": ours["bias"],
    }


def test_a_published_checkpoint_loads() -> None:
    model: Any = sd.create_model("egru_6m", **TINY)
    ids = torch.randint(0, 11, (5, 3))
    torch.nn.init.normal_(model.bias)
    assert torch.equal(sd.from_reference("egru_6m", published(model), **TINY)(ids), model(ids))
    saved = published(model)
    saved["rnns.0.gate"] = saved.pop("rnns.0.thr")
    with pytest.raises(CheckpointError, match=r"cells.0.(threshold|gate)"):
        sd.from_reference("egru_6m", saved, **TINY)


def test_the_head_reads_events_with_the_tables_rows() -> None:
    model: Any = sd.create_model("egru_6m", mean_threshold=0.001, **TINY)
    ids = torch.randint(0, 11, (9, 3))
    events = model.forward_features(ids)[0]
    assert 0 < float((events != 0).float().mean()) < 1
    torch.testing.assert_close(model(ids), events @ model.table.weight.T + model.bias)


def test_dropout_is_the_same_at_every_token() -> None:
    model: Any = sd.create_model("egru_6m", mean_threshold=0.001, dropout=0.5, **TINY).train()
    silent = (model.forward_features(torch.randint(0, 11, (40, 2)))[0] == 0).all(0)
    assert 0 < int(silent.sum()) < 12


@pytest.mark.parametrize("widths", [(), (8, 7)])
def test_a_last_layer_of_another_width_is_refused(widths) -> None:
    with pytest.raises(
        ConfigError, match="for a table of 6; it takes at least one layer, and the last as wide"
    ):
        sd.create_model("egru_6m", **{**TINY, "widths": widths})
