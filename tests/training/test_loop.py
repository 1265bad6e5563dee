"""A run's folder, and what a run refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from spikedrive.data import ImageSet, load_images
from spikedrive.errors import CheckpointError, ConfigError, DataError, UnknownNameError, ValueRangeError
from spikedrive.models import load_model
from spikedrive.training import Recipe, checkpoint, evaluate, prepare, train
from tiny_training import write_pictures

Tiny = Callable[..., Recipe]


def records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_a_run_leaves_a_whole_folder(tiny: Tiny, tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    run = train(tiny(), tmp_path / "run", progress=False, callback=seen.append)
    assert seen == records(run.folder)
    assert Recipe(**json.loads((run.folder / "recipe.json").read_text())) == tiny()
    environment = json.loads((run.folder / "environment.json").read_text())
    assert environment["versions"]["torch"] == torch.__version__ and environment["threads"] == 1
    assert {"machine", "commit", "seed", "device", "command"} <= environment.keys()
    assert [r["kind"] for r in seen] == ["step"] * 4 + ["epoch"] + ["step"] * 4 + ["epoch", "final"]
    for record in seen[:-1]:
        keys = {"epoch", "step", "loss", "accuracy", "firing_rate", "samples_per_s", "lr", "seconds"}
        assert keys <= record.keys() and record["firing_rate"] > 0
    epochs = [r for r in seen if r["kind"] == "epoch"]
    assert [(r["epoch"], r["step"]) for r in epochs] == [(1, 4), (2, 8)]
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert metrics == run.metrics and metrics["val_accuracy"] == max(r["val_accuracy"] for r in epochs)
    (events,) = (run.folder / "tensorboard").iterdir()
    tags = [v.tag for event in EventFileLoader(str(events)).Load() for v in event.summary.value]
    assert tags.count("step/loss") == 8 and tags.count("epoch/val_accuracy") == 2


def test_the_best_checkpoint_answers_as_it_was_judged(tiny: Tiny, tmp_path: Path) -> None:
    run = train(tiny(epochs=3), tmp_path / "run", progress=False)
    images = prepare.prepare_images(tiny())
    model = run.load()
    known = model.metadata
    assert known["class_names"] == ["0", "1", "2", "3"] and known["input_size"] == [1, 8, 8]
    result = evaluate(model, images.validation, mean=known["mean"], std=known["std"])
    assert result["accuracy"] == run.metrics["val_accuracy"]
    assert result["loss"] == pytest.approx(run.metrics["val_loss"], abs=1e-6)
    assert known["epoch"] == run.metrics["best_epoch"]


def test_it_learns(tiny: Tiny, tmp_path: Path) -> None:
    run = train(tiny(epochs=6, batch_size=4, lr=2e-2), tmp_path / "run", progress=False)
    assert run.metrics["val_accuracy"] > 0.7


def test_test_images_are_never_opened(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def watched(source: str, split: str = "train", **options: Any) -> ImageSet:
        asked.append(split)
        return load_images(source, split, **options)

    monkeypatch.setattr(prepare.images, "load_images", watched)
    train(tiny(), tmp_path / "run", progress=False)
    assert asked == ["train"]


def test_training_leaves_the_process_as_it_was(tiny: Tiny, tmp_path: Path) -> None:
    threads, expected = torch.get_num_threads(), torch.Generator().manual_seed(5)
    torch.manual_seed(5)
    train(tiny(), tmp_path / "run", progress=False)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.rand(3), torch.rand(3, generator=expected))


def test_a_finished_run_is_not_trained_again(tiny: Tiny, tmp_path: Path) -> None:
    first = train(tiny(), tmp_path / "run", progress=False)
    again = train(tiny(), tmp_path / "run", progress=False, callback=lambda _: pytest.fail("trained again"))
    assert again.metrics == first.metrics


def test_a_folder_with_another_recipe_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    train(tiny(), tmp_path / "run", progress=False)
    with pytest.raises(
        ConfigError, match=r"another recipe \(lr is 0.01 there and 0.02 here\).* Choose another folder"
    ):
        train(tiny(lr=0.02), tmp_path / "run", progress=False)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    run = train(tiny(lr=0.02, epochs=1), tmp_path / "run", progress=False, resume=False)
    assert run.metrics["epochs"] == 1 and (tmp_path / "run" / "notes.txt").exists()


@pytest.mark.parametrize("resume", [True, False])
def test_a_folder_that_is_no_run_is_left_alone(resume: bool, tiny: Tiny, tmp_path: Path) -> None:
    mine = tmp_path / "project" / "checkpoints" / "mine.pt"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    with pytest.raises(
        ConfigError, match=r"holds checkpoints without a recipe.json, .* Choose another folder"
    ):
        train(tiny(), tmp_path / "project", progress=False, resume=resume)
    assert mine.read_text() == "precious"
    with pytest.raises(ConfigError, match=r"mine.pt is a file; a run takes a folder"):
        train(tiny(), mine, progress=False, resume=resume)


def test_other_images_are_refused_on_resuming(tiny: Tiny, pictures: Path, tmp_path: Path) -> None:
    train(tiny(), tmp_path / "run", progress=False)
    (tmp_path / "run" / "metrics.json").unlink()
    write_pictures(pictures, count=60)
    with pytest.raises(DataError, match="a run goes on with what it began with"):
        train(tiny(), tmp_path / "run", progress=False)


def test_a_damaged_state_is_named(tiny: Tiny, tmp_path: Path) -> None:
    train(tiny(), tmp_path / "run", progress=False)
    (tmp_path / "run" / "metrics.json").unlink()
    state = tmp_path / "run" / "checkpoints" / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"state.pt cannot be read .* Start over with resume=False"):
        train(tiny(), tmp_path / "run", progress=False)


def test_accumulating_halves_gives_the_gradient_of_the_whole(tiny: Tiny, tmp_path: Path) -> None:
    # in eval mode there are no batch statistics, which alone tell halves from a whole
    whole, halves = tiny(precision="64-true", shards=2), tiny(precision="64-true", shards=2, accumulate=2)
    images = prepare.prepare_images(whole)
    batches = [prepare.Batches(r, images, device=torch.device("cpu")) for r in (whole, halves)]
    one, two = (next(b.epoch(3, start=1)) for b in batches)
    assert len(one) == 1 and len(two) == 2
    assert torch.equal(one[0].x, torch.cat([part.x for part in two]))
    assert torch.equal(one[0].targets, torch.cat([part.targets for part in two]))


def test_a_batch_depends_on_its_place_alone(tiny: Tiny) -> None:
    recipe = tiny(mix={"Mixup": {"alpha": 0.2}, "CutMix": {}})
    images = prepare.prepare_images(recipe)
    batches = prepare.Batches(recipe, images, device=torch.device("cpu"))
    straight = [parts[0].x for parts in batches.epoch(1)]
    torch.rand(100)
    skipped = [parts[0].x for parts in batches.epoch(1, start=2)]
    assert len(straight) == batches.steps == 4
    assert all(torch.equal(a, b) for a, b in zip(straight[2:], skipped, strict=True))
    other = [parts[0].x for parts in batches.epoch(2)]
    assert not torch.equal(straight[0], other[0])


def test_images_are_mixed_in_the_first_epochs_alone(tiny: Tiny) -> None:
    recipe = tiny(mix={"Mixup": {"alpha": 1.0}}, mix_epochs=1)
    images = prepare.prepare_images(recipe)
    batches = prepare.Batches(recipe, images, device=torch.device("cpu"))
    mixed, plain = (next(batches.epoch(epoch))[0] for epoch in (0, 1))
    assert mixed.targets.shape == (8, 4)
    assert plain.targets.dtype == torch.int64
    never = prepare.Batches(recipe.replace(mix={}), images, device=torch.device("cpu"))
    assert torch.equal(plain.x, next(never.epoch(1))[0].x)
    with pytest.raises(UnknownNameError, match=r"no transform named 'MixUp'; .*Mixup"):
        prepare.Batches(tiny(mix={"MixUp": {}}), images, device=torch.device("cpu"))
    with pytest.raises(ConfigError, match=r"mix\.Mixup got \{'beta': 1\}, which it does not take"):
        prepare.Batches(tiny(mix={"Mixup": {"beta": 1}}), images, device=torch.device("cpu"))


def test_rectangles_are_cut_from_larger_images_than_the_model_gets(tiny: Tiny, tmp_path: Path) -> None:
    recipe = tiny(augment={"RandomResizedCrop": {"size": 8, "source": 12}})
    images = prepare.prepare_images(recipe)
    assert (images.train.shape, images.validation.shape) == ((1, 12, 12), (1, 8, 8))
    plain = prepare.prepare_images(tiny())
    assert torch.equal(images.validation.images[:], plain.validation.images[:])
    assert torch.equal(images.train.labels, plain.train.labels)
    batch = next(prepare.Batches(recipe, images, device=torch.device("cpu")).epoch(0))
    assert batch[0].x.shape == (8, 1, 8, 8)
    with pytest.raises(ConfigError, match=r"gives images of 9 x 9, and the model gets 8; .*image_size=9"):
        prepare.prepare_images(tiny(augment={"RandomResizedCrop": {"size": 9}}))


def test_uneven_shards_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"batch_size=8 on 1 processes x accumulate=3 .* comes out unevenly"
    ):
        train(tiny(accumulate=3), tmp_path / "run", progress=False)


def test_a_loss_that_is_no_number_is_placed(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(
        ValueRangeError, match=r"The loss became \S+ in epoch \d+, step \d+ of 4; .* Lower lr=1e\+30"
    ):
        train(tiny(lr=1e30, epochs=5, warmup_epochs=2.0, save_minutes=1e-9), tmp_path / "run", progress=False)
    state = checkpoint.load_state(tmp_path / "run" / "checkpoints" / "state.pt")
    assert all(bool(t.isfinite().all()) for t in state["model"].values())


def test_images_that_are_no_number_are_placed(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalise, calls = prepare.images.normalise, iter(range(1000))

    def broken(*args: Any) -> torch.Tensor:
        x = normalise(*args)
        return x if next(calls) < 5 else torch.full_like(x, torch.nan)

    monkeypatch.setattr(prepare.images, "normalise", broken)
    with pytest.raises(
        DataError, match=r"The images in epoch 2, step 2 of 4 hold NaN or infinity; .* Look at"
    ):
        train(tiny(), tmp_path / "run", progress=False)
    assert load_model(tmp_path / "run" / "checkpoints" / "best.safetensors").metadata["epoch"] == 1


def test_weights_start_a_run_with_a_new_head_for_new_classes(tiny: Tiny, tmp_path: Path) -> None:
    first = train(tiny(epochs=1), tmp_path / "first", progress=False)
    best = str(first.folder / "checkpoints" / "best.safetensors")
    other = tiny(data=str(write_pictures(tmp_path / "other.npz", count=60, classes=3)), weights=best)
    images = prepare.prepare_images(other)
    model, notes = prepare.prepare_model(other, images)
    own, theirs = model.state_dict(), load_file(best)
    assert all(torch.equal(own[k], theirs[k]) for k in own if not k.startswith("head.linear."))
    assert own["head.linear.weight"].shape == (3, 8)
    assert notes == [f"{best} was trained for 4 classes; the head for these 3 starts anew."]
    # it goes on with the normalisation that the weights have learned with
    assert images.mean == first.load().metadata["mean"]
    run = train(other, tmp_path / "run", progress=False)
    assert [r["text"] for r in records(run.folder) if r["kind"] == "note"] == notes


def test_weights_of_the_same_classes_keep_their_head(tiny: Tiny, tmp_path: Path) -> None:
    first = train(tiny(epochs=1), tmp_path / "first", progress=False)
    best = str(first.folder / "checkpoints" / "best.safetensors")
    model, notes = prepare.prepare_model(tiny(weights=best), prepare.prepare_images(tiny(weights=best)))
    theirs = load_file(best)
    assert not notes and all(torch.equal(t, theirs[k]) for k, t in model.state_dict().items())


def test_weights_of_another_model_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    first = train(tiny(epochs=1), tmp_path / "first", progress=False)
    best = str(first.folder / "checkpoints" / "best.safetensors")
    other = tiny(weights=best, model="meta_spikeformer_15m", model_args={"in_channels": 1})
    with pytest.raises(
        CheckpointError, match=r"holds a meta_spikeformer_nano, and the recipe trains a meta_spikeformer_15m"
    ):
        train(other, tmp_path / "run", progress=False)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": "meta_spikeformer_nan"}, UnknownNameError, "The nearest: meta_spikeformer_nano"),
        ({"data": "/nowhere"}, DataError, "/nowhere does not exist; accepted are"),
        (
            {"model_args": {"width": [1]}},
            ConfigError,
            "argument 'width', which it does not take. The nearest: widths",
        ),
        (
            {"augment": {"RandomCro": {}}},
            UnknownNameError,
            "no transform named 'RandomCro'.* The nearest: RandomCrop",
        ),
        (
            {"augment": {"RandomCrop": {"pad": 1}}},
            ConfigError,
            "augment.RandomCrop got {'pad': 1}, which it does not take",
        ),
        ({"batch_size": 33}, DataError, r"gives 32 training and 8 validation .* set batch_size=32 or less"),
        ({"weights": "/nowhere"}, CheckpointError, "no checkpoint at /nowhere"),
    ],
)
def test_a_recipe_that_cannot_train_says_why(
    changes: dict[str, Any], error: type[Exception], message: str, tiny: Tiny, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        train(tiny(**changes), tmp_path / "run", progress=False)


def test_one_class_is_no_classification(tiny: Tiny, tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", x=np.zeros((40, 1, 8, 8), np.uint8), y=np.zeros(40, np.int64))
    with pytest.raises(DataError, match="has 1 class; a classifier takes at least two"):
        train(tiny(data=str(tmp_path / "one.npz")), tmp_path / "run", progress=False)
