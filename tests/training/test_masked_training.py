"""Masked pretraining through the loop: resumed to the bit, reported, and fine-tuned from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spikedrive.cli.target import load_trained
from spikedrive.cli.train import resolve
from spikedrive.errors import CheckpointError, ConfigError, UnknownNameError
from spikedrive.models import load_model
from spikedrive.reports import write_report
from spikedrive.training import Recipe, checkpoint, train

MASKED = {"name": "masked", "width": 16, "depth": 1}


class StopHereError(Exception):
    """What the test's callback throws."""


@pytest.fixture
def masked(tiny: Callable[..., Recipe]) -> Callable[..., Recipe]:
    """`masked(key=value)`: the tiny recipe that pretrains."""
    return lambda **changes: tiny(**{"task": MASKED, **changes})


def test_a_stopped_run_ends_with_the_same_bits_decoder_and_all(
    masked: Callable[..., Recipe], tmp_path: Path
) -> None:
    def stop(line: dict[str, Any]) -> None:
        if line["kind"] == "step" and line["step"] == 3:
            raise StopHereError

    recipe = masked(save_minutes=1e-9, accumulate=2)
    train(recipe, tmp_path / "whole", progress=False)
    with pytest.raises(StopHereError):
        train(recipe, tmp_path / "stopped", progress=False, callback=stop)
    run = train(recipe, tmp_path / "stopped", progress=False)
    whole, stopped = (
        checkpoint.load_state(tmp_path / name / "checkpoints" / "state.pt") for name in ("whole", "stopped")
    )
    for part in ("model", "average"):
        assert whole[part].keys() == stopped[part].keys() and "mask_token" in whole[part]
        assert all(torch.equal(whole[part][key], stopped[part][key]) for key in whole[part])
    assert whole["place"]["best_loss"] == stopped["place"]["best_loss"] == run.metrics["val_loss"]


def test_the_run_says_its_loss_and_no_accuracy_and_has_a_report(
    masked: Callable[..., Recipe], tmp_path: Path
) -> None:
    lines: list[dict[str, Any]] = []
    ramps = tmp_path / "ramps.npz"
    one = np.linspace(0, 255, 8, dtype=np.uint8)[None, None, None].repeat(40, 0).repeat(8, 2)
    np.savez(ramps, x=one, y=np.arange(40) % 2)
    recipe = masked(data=str(ramps), epochs=6, augment={"RandomHorizontalFlip": {}})
    run = train(recipe, tmp_path / "run", progress=False, callback=lines.append)
    assert not any("accuracy" in key for line in lines for key in line) and "val_accuracy" not in run.metrics
    losses = [line["val_loss"] for line in lines if line["kind"] == "epoch"]
    assert losses[-1] < 0.9 * losses[0] and run.metrics["val_loss"] == min(losses)
    assert f"validation loss {min(losses):.4f} at epoch" in str(run)
    page = write_report(run.folder).read_text(encoding="utf-8")
    assert "squared error of a pixel" in page and "masked patches" in page and "Validation loss ends" in page


def test_fine_tuning_starts_from_the_encoder_with_a_new_head(
    masked: Callable[..., Recipe], tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    pretrained = train(masked(), tmp_path / "pretrained", progress=False)
    weights = str(pretrained.folder / "checkpoints" / "best.safetensors")
    notes: list[dict[str, Any]] = []
    # so small a rate moves nothing much
    recipe = tiny(weights=weights, epochs=1, lr=1e-12, ema=0.0, weight_decay=0.0, task={"name": "classify"})
    run = train(recipe, tmp_path / "tuned", progress=False, callback=notes.append)
    said = (run.folder / "log.jsonl").read_text()
    assert "was pretrained without labels; its head starts anew" in said
    encoder, tuned, fresh = (
        dict(model.named_parameters())
        for model in (
            pretrained.load(),
            run.load(),
            train(recipe.replace(weights=None), tmp_path / "fresh", progress=False).load(),
        )
    )
    key = "stages.0.blocks.0.mlp.expand.conv.weight"
    torch.testing.assert_close(tuned[key], encoder[key])
    assert not torch.allclose(tuned[key], fresh[key])
    torch.testing.assert_close(tuned["head.linear.weight"], fresh["head.linear.weight"])
    assert "task" not in load_model(run.folder / "checkpoints" / "best.safetensors").metadata
    with pytest.raises(
        CheckpointError, match=r"pretrained without labels.*Fine-tune it first: spikedrive train"
    ):
        load_trained(str(pretrained.folder))


def test_images_of_one_class_will_do(masked: Callable[..., Recipe], tmp_path: Path) -> None:
    data = tmp_path / "unlabelled.npz"
    pixels = np.random.default_rng(0).integers(0, 255, (40, 1, 8, 8), dtype=np.uint8)
    np.savez(data, x=pixels, y=np.zeros(40, dtype=np.int64))
    assert train(masked(data=str(data), epochs=1), tmp_path / "run", progress=False).metrics["steps"] == 4


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"task": {"name": "maskd"}}, UnknownNameError, "maskd.*masked"),
        ({"task": {**MASKED, "widht": 3}}, ConfigError, "it takes ratio, width and depth"),
        (
            {"mix": {"Mixup": {"alpha": 0.2}}, "label_smoothing": 0.1},
            ConfigError,
            "got mix, label_smoothing.*looks at none. Leave",
        ),
        ({"image_size": 9}, ConfigError, "under 3 x 3 patches.*image_size"),
    ],
)
def test_what_pretraining_does_not_take_is_refused(
    changes: dict[str, Any],
    error: type[Exception],
    message: str,
    masked: Callable[..., Recipe],
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=message):
        train(masked(**changes), tmp_path / "run", progress=False)


def test_a_run_of_an_older_version_goes_on(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    train(tiny(epochs=1), tmp_path / "run", progress=False)
    path = tmp_path / "run" / "recipe.json"
    old = {key: value for key, value in json.loads(path.read_text()).items() if key != "task"}
    path.write_text(json.dumps(old | {"channels_last": True}))
    assert train(tiny(epochs=1), tmp_path / "run", progress=False).metrics["epochs"] == 1
    path.write_text(json.dumps(old | {"channels_last": False}))
    with pytest.raises(ConfigError, match="channels_last is False there and None here"):
        train(tiny(epochs=1), tmp_path / "run", progress=False)


def test_the_command_line_asks_for_it() -> None:
    recipe = resolve(
        "e_spikeformer_nano", ["task.ratio=0.6"], data="fashion_mnist_mini", weights=None, task="masked"
    )
    assert recipe.task == {"name": "masked", "ratio": 0.6, "width": 64, "depth": 2}
    recipe = resolve("fashion_mnist_mini", [], data=None, weights=None)
    assert recipe.task == {"name": "classify"}
