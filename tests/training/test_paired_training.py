"""Models of two cameras train, resume to the same bits, are judged, and refuse what is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from spikedrive.cli.app import main
from spikedrive.cli.train import resolve
from spikedrive.data.events import PairedReader, load_paired
from spikedrive.data.events.simulated import actions
from spikedrive.errors import ConfigError, DataError
from spikedrive.models import load_model
from spikedrive.recipes import paired_clips
from spikedrive.training import Recipe, evaluate_clips, train

SMALL = {"widths": (8,), "depths": (1,), "steps": 2, "policy": (8, 8), "dropout": 0.0}


class StopHereError(Exception):
    """What the test's callback throws."""


@pytest.fixture(autouse=True)
def few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKEDRIVE_CACHE", str(tmp_path / "cache"))
    whole = actions.paired_actions
    counts = {"train": 60, "test": 12}
    monkeypatch.setattr(
        "spikedrive.data.events.paired_sources.paired_actions",
        lambda split: whole(split, clips=counts[split]),
    )


def recipe(**changes: Any) -> Recipe:
    fields: dict[str, Any] = {
        "model_args": SMALL, "epochs": 2, "batch_size": 12, "val_fraction": 0.2, "threads": 1, "device": "cpu",
        "warmup_epochs": 0.0,
    }  # fmt: skip
    return paired_clips("mmhco_nano", "paired_actions").replace(**{**fields, **changes})


@pytest.mark.parametrize("inputs", [["rgb", "events"], ["rgb"], ["events"]])
def test_a_resumed_run_equals_an_unbroken_one(inputs: list[str], tmp_path: Path) -> None:
    def stop(line: dict[str, Any]) -> None:
        if line["kind"] == "epoch" and line["epoch"] == 1:
            raise StopHereError

    own = recipe(model_args={**SMALL, "inputs": inputs})
    whole = train(own, tmp_path / "whole", progress=False)
    assert (whole.metrics["train_clips"], whole.metrics["val_clips"]) == (48, 12)
    with pytest.raises(StopHereError):
        train(own, tmp_path / "stopped", progress=False, callback=stop)
    train(own, tmp_path / "stopped", progress=False)
    a, b = (load_file(tmp_path / run / "checkpoints" / "last.safetensors") for run in ("whole", "stopped"))
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    model = whole.load()
    assert model.metadata["events"]["inputs"] == inputs
    reader = PairedReader.of_record(model.metadata["events"])
    assert reader == PairedReader(2, 32, 32, tuple(inputs))
    found = evaluate_clips(model, load_paired("paired_actions", "test"), reader, batch_size=5)
    assert found["clips"] == 12 and 0 <= found["accuracy"] <= 1


def test_it_learns_what_it_sees(tmp_path: Path) -> None:
    run = train(
        recipe(epochs=40, lr=1e-2, model_args={**SMALL, "widths": (24,), "inputs": ["rgb"]}),
        tmp_path / "run",
        progress=False,
    )
    data = load_paired("paired_actions")
    # the best one was chosen by twelve clips, of whose ways it knows nothing
    model = load_model(run.folder / "checkpoints" / "last.safetensors").eval()
    x = PairedReader.of_record(model.metadata["events"])([data[i] for i in range(60)])
    with torch.no_grad():
        colour = model(x).argmax(1) // 4
    # its ways are chance, its colours are plain
    assert (colour == data.labels // 4).double().mean() > 0.9


def test_the_command_line_trains_and_judges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [
        "epochs=1",
        "batch_size=12",
        "val_fraction=0.2",
        "device=cpu",
        f"model_args={json.dumps(SMALL)}",
    ]
    out = tmp_path / "run"
    assert main(["train", "mmhco_nano", "--data", "paired_actions", "--out", str(out), *settings]) == 0
    assert "spikedrive eval" in capsys.readouterr().out
    assert main(["eval", str(out), "--data", "paired_actions", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["clips"] == 12 and 0 <= found["accuracy"] <= 1


def test_the_data_decides_the_task() -> None:
    assert resolve("mmhco_nano", [], data="paired_actions", weights=None).task == {"name": "paired"}
    assert resolve("csnn_nano", [], data="moving_fashion", weights=None).task == {"name": "events"}


def test_pictures_of_events_change_the_number_of_channels(tmp_path: Path) -> None:
    for number in (1, 2):
        for clip in range(3):
            name = f"dvSave-2021_10_15_19_18_{clip:02}"
            for camera in ("aps", "dvs"):
                folder = tmp_path / "rawframes" / f"action_{number:03}" / name / f"{name}_{camera}"
                folder.mkdir(parents=True)
                Image.new("RGB", (346, 260), (100 * number, 0, clip)).save(folder / "00000000.png")
    (tmp_path / "train_label.txt").write_text(
        "".join(f"action_{n:03}/dvSave-2021_10_15_19_18_{c:02} 1 {n - 1}\n" for n in (1, 2) for c in range(3))
    )
    (tmp_path / "test_label.txt").write_text("action_001/dvSave-2021_10_15_19_18_00 1 0\n")
    own = recipe(data=f"hardvs2:{tmp_path}", batch_size=2, epochs=1, val_fraction=0.3)
    model = train(own, tmp_path / "run", progress=False).load()
    assert (model.in_channels, model.classes) == (6, 300)
    assert model.metadata["events"]["event_channels"] == 3


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"model": "csnn_nano", "model_args": {}}, ConfigError, "csnn_nano, which takes one camera"),
        (
            {"task": {"name": "events"}},
            ConfigError,
            "mmhco_nano, which takes two cameras; .*Use the task paired",
        ),
        ({"task": {"name": "paired", "size": 5}}, ConfigError, r"got task\.size; it takes task\.window"),
        ({"augment": {"RandomFlip": {}}}, ConfigError, "got augment; it takes"),
        ({"batch_size": 64}, DataError, "48 training and 12 validation clips"),
        (
            {"model_args": {**SMALL, "image_size": 64}},
            ConfigError,
            "64 x 64 of events from a sensor of 32 x 32",
        ),
        ({"model_args": {**SMALL, "event_channels": 3}}, ConfigError, "takes what the clips have, 2"),
    ],
)
def test_what_does_not_fit_is_refused(
    changes: dict, kind: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=said):
        train(recipe(**changes), tmp_path / "run", progress=False)
