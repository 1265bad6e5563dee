"""Checkpoints: whole, atomic, and refused where they do not fit."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import spikedrive as sd
from spikedrive.errors import CheckpointError, ConfigError, StorageError
from spikedrive.models import load_weights
from spikedrive.neurons import ILIF

NANO = {"widths": (8, 16, 16)}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "nano.safetensors"
    sd.save_model(sd.create_model("meta_spikeformer_nano", **NANO), path, metadata={"mean": [0.5]})
    return path


def test_what_was_loaded_can_be_saved_again(saved: Path, tmp_path: Path) -> None:
    model = sd.load_model(saved)
    assert model.metadata["mean"] == [0.5]
    sd.save_model(model, tmp_path / "again.safetensors", metadata={"std": [0.25]})
    again = sd.load_model(tmp_path / "again.safetensors").metadata
    assert (again["mean"], again["std"], again["model"]) == ([0.5], [0.25], "meta_spikeformer_nano")


def test_channels_last_and_fp64_survive(tmp_path: Path) -> None:
    model = (
        sd.create_model("meta_spikeformer_nano", **NANO).double().to(memory_format=torch.channels_last).eval()
    )
    sd.save_model(model, tmp_path / "m.safetensors")
    loaded = sd.load_model(tmp_path / "m.safetensors")
    x = torch.randn(2, 1, 28, 28, dtype=torch.float64)
    torch.testing.assert_close(loaded(x), model(x), rtol=0, atol=1e-12)


def test_rounding_is_kept_in_the_file_alone(tmp_path: Path) -> None:
    model = sd.create_model("meta_spikeformer_nano", **NANO)
    sizes = []
    for bits in (None, 16, 8):
        path = tmp_path / f"{bits}.safetensors"
        sd.save_model(model, path, bits=bits)
        loaded = sd.load_model(path).state_dict()
        for key, value in model.state_dict().items():
            assert loaded[key].dtype == value.dtype
            if bits == 8 and value.dim() > 1:
                # half a step of the row
                steps = value.abs().flatten(1).amax(1) / 127
                assert (loaded[key] - value).abs().flatten(1).amax(1).le(0.501 * steps + 1e-9).all()
            elif bits:
                torch.testing.assert_close(loaded[key], value, rtol=2**-11, atol=2**-25)
            else:
                assert torch.equal(loaded[key], value)
        sizes.append(path.stat().st_size)
    assert sizes[1] < 0.6 * sizes[0]
    assert sizes[2] < 0.8 * sizes[1]


def test_eight_bits_keep_rows_of_zeros(tmp_path: Path) -> None:
    model = sd.create_model("meta_spikeformer_nano", **NANO)
    weight = next(p for p in model.parameters() if p.dim() > 1)
    with torch.no_grad():
        weight[0] = 0
    sd.save_model(model, tmp_path / "m.safetensors", bits=8)
    loaded = sd.load_model(tmp_path / "m.safetensors")
    assert not next(p for p in loaded.parameters() if p.dim() > 1)[0].any()


def test_a_partial_neuron_comes_back(tmp_path: Path) -> None:
    model = sd.create_model("meta_spikeformer_nano", neuron=partial(ILIF, levels=2), **NANO)
    sd.save_model(model, tmp_path / "m.safetensors")
    loaded = sd.load_model(tmp_path / "m.safetensors")
    assert {n.domain.levels for n in loaded.neurons().values()} == {2}


def test_a_neuron_that_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    model = sd.create_model("meta_spikeformer_nano", neuron=lambda: ILIF(levels=2), **NANO)
    with pytest.raises(ConfigError, match="cannot be written to a file"):
        sd.save_model(model, tmp_path / "m.safetensors")
    with pytest.raises(ConfigError, match="metadata that JSON cannot hold"):
        sd.save_model(
            sd.create_model("meta_spikeformer_nano", **NANO), tmp_path / "m", metadata={"x": {1, 2}}
        )
    with pytest.raises(ConfigError, match=r"got a Linear without a card.*torch\.save"):
        # a converted network, say
        sd.save_model(torch.nn.Linear(2, 2), tmp_path / "m")  # pyright: ignore[reportArgumentType]
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_last_good_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("spikedrive.models._weights.save", full)
    with pytest.raises(StorageError, match="No space left on device"):
        sd.save_model(sd.create_model("meta_spikeformer_nano", **NANO), saved)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_refused(saved: Path, share: float) -> None:
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match="truncated"):
        sd.load_model(saved)


def test_other_files_are_refused(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no checkpoint at"):
        sd.load_model(tmp_path / "absent.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match="without the 'spikedrive-model-1' header"):
        sd.load_model(tmp_path / "foreign.safetensors")
    header = {"format": "spikedrive-model-1", "model": "meta_spikeformer_mini", "config": {}}
    save_file(
        {"a": torch.zeros(1)}, tmp_path / "later.safetensors", metadata={"spikedrive": json.dumps(header)}
    )
    with pytest.raises(
        CheckpointError, match=r"cannot build: There is no model named 'meta_spikeformer_mini'"
    ):
        sd.load_model(tmp_path / "later.safetensors")


def test_weights_of_another_model_are_refused_and_change_nothing(saved: Path) -> None:
    other = sd.create_model("meta_spikeformer_nano", widths=(8, 16, 24))
    before = {k: v.clone() for k, v in other.state_dict().items()}
    with pytest.raises(CheckpointError, match="of another shape"):
        load_weights(other, saved)
    assert all(torch.equal(before[k], v) for k, v in other.state_dict().items())
    with pytest.raises(CheckpointError, match="missing: stem"):
        sd.create_model("spike_driven_transformer_cifar_2_256", weights=saved)


def test_weights_fill_a_model_and_a_new_head_keeps_its_own(saved: Path) -> None:
    source = sd.load_model(saved)
    filled = sd.create_model("meta_spikeformer_nano", weights=saved, **NANO)
    assert all(torch.equal(v, source.state_dict()[k]) for k, v in filled.state_dict().items())
    other = sd.create_model("meta_spikeformer_nano", classes=3, **NANO)
    head = other.head.linear.weight.clone()
    with pytest.raises(CheckpointError, match=r"head\.linear\.weight is \(10, 16\), not \(3, 16\)"):
        load_weights(other, saved)
    load_weights(other, saved, new_head=True)
    assert torch.equal(other.head.linear.weight, head)
    key = "stages.0.downsample.project.conv.weight"
    assert torch.equal(other.state_dict()[key], source.state_dict()[key])
