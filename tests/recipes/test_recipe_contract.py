"""Every recipe of the registry trains, and resumes to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from models.families import small_arguments
from spikedrive.errors import UnknownNameError
from spikedrive.models import create_model
from spikedrive.recipes import RECIPES, fashion_mnist_mini, get_recipe, image_folder, masked_pretraining
from spikedrive.training import Recipe, make_optimizer, train
from spikedrive.training.distill import save_teacher
from spikedrive.training.prepare import Batches, prepare_images
from tiny_training import TINY_MODEL, write_pictures


class StopHereError(Exception):
    """What the test's callback throws."""


def tiny(recipe: Recipe, pictures: Path) -> Recipe:
    """The recipe on tiny pictures and a tiny model: two epochs of two steps."""
    small, size = (
        (TINY_MODEL, 8) if recipe.model == "meta_spikeformer_nano" else small_arguments(recipe.model)
    )
    augment = dict(recipe.augment)
    if "RandomResizedCrop" in augment:
        augment["RandomResizedCrop"] = {**augment["RandomResizedCrop"], "size": size, "source": size + 4}
    return recipe.replace(
        data=str(pictures), model_args={**recipe.model_args, **small}, image_size=size, epochs=2, val_fraction=0.2,
        batch_size=16, accumulate=1, shards=0, threads=1, device="cpu", save_minutes=1e-9, augment=augment,
        mix_epochs=min(1, recipe.mix_epochs),
    )  # fmt: skip


def write_folder(pictures: Path, folder: Path) -> Path:
    """The same pictures as files, one folder a class."""
    held = np.load(pictures)
    for i, (picture, label) in enumerate(zip(held["x"], held["y"], strict=True)):
        path = folder / "train" / f"class_{label}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture[0]).save(path)
    return folder


# training takes seconds: `make test-all` tries those that differ from these in their model alone, too
MAKERS = {"image_folder": image_folder, "masked_pretraining": masked_pretraining}
QUICK = ["fashion_mnist_mini", *MAKERS, "imagenet_spike_driven_transformer", "imagenet_sew_resnet"]
# those of text hold the same contract in tests/training: test_language_training, test_text_classification
OF_IMAGES = [name for name in RECIPES.names() if get_recipe(name).task["name"] in ("classify", "masked")]
OTHERS = [name for name in OF_IMAGES if name not in QUICK]
PUBLISHED = [name for name in RECIPES.names() if name.startswith(("imagenet_", "cifar_"))]


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_two_steps_then_a_resumed_run_equals_an_unbroken_one(name: str, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "pictures.npz")
    full = MAKERS[name]("meta_spikeformer_nano", pictures) if name in MAKERS else get_recipe(name)
    recipe = tiny(full, write_folder(pictures, tmp_path / "folder") if name in PUBLISHED else pictures)

    def stop(line: dict[str, Any]) -> None:
        if line["kind"] == "step" and line["step"] == 3:
            raise StopHereError

    whole = train(recipe, tmp_path / "whole", progress=False)
    assert whole.metrics["steps"] == 4
    with pytest.raises(StopHereError):
        train(recipe, tmp_path / "stopped", progress=False, callback=stop)
    train(recipe, tmp_path / "stopped", progress=False)
    for file in ("best", "last"):
        a, b = (
            load_file(tmp_path / run / "checkpoints" / f"{file}.safetensors") for run in ("whole", "stopped")
        )
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_recipe_names_what_there_is(name: str, tmp_path: Path) -> None:
    recipe = get_recipe(name)
    with torch.device("meta"):
        model = create_model(recipe.model, **recipe.model_args)
    assert (model.steps, model.card.input_size[1]) == (
        recipe.model_args.get("steps", model.steps),
        recipe.image_size,
    )
    assert make_optimizer(model, recipe).param_groups[0]["lr"] == recipe.lr
    small = tiny(recipe, write_folder(write_pictures(tmp_path / "pictures.npz"), tmp_path / "folder"))
    parts = next(Batches(small, prepare_images(small), device=torch.device("cpu")).epoch(0))
    assert parts[0].x.shape == (16, 3, small.image_size, small.image_size)


def test_one_step_then_four_with_a_teacher(tmp_path: Path) -> None:
    pictures = write_folder(write_pictures(tmp_path / "pictures.npz"), tmp_path / "folder")
    first, then = (
        tiny(get_recipe(f"imagenet_meta_spikeformer{more}"), pictures).replace(epochs=1, precision="32-true")
        for more in ("", "_4_steps")
    )
    best = train(first, tmp_path / "first", progress=False).folder / "checkpoints" / "best.safetensors"
    judge = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(12, 4))
    known = {"class_names": [f"class_{i}" for i in range(4)], "mean": [0.5] * 3, "std": [0.25] * 3}
    save_teacher(judge, tmp_path / "judge.pt2", **known, input_size=(3, 16, 16))
    run = train(
        then.replace(weights=str(best), teacher=str(tmp_path / "judge.pt2")),
        tmp_path / "then",
        progress=False,
    )
    assert (first.model_args["steps"], run.load().steps) == (1, 4)
    assert run.metrics["steps"] == 2


def test_the_large_recipe_goes_on_from_masked_pretraining(tmp_path: Path) -> None:
    pictures = write_folder(write_pictures(tmp_path / "pictures.npz"), tmp_path / "folder")
    first, then = (
        tiny(get_recipe(f"imagenet_e_spikeformer_{step}"), pictures).replace(epochs=1, precision="32-true")
        for step in ("pretraining", "large")
    )
    before = train(first, tmp_path / "first", progress=False)
    best = before.folder / "checkpoints" / "best.safetensors"
    small = then.replace(weights=str(best), lr=1e-9, ema=0)
    after = train(small, tmp_path / "then", progress=False)
    a, b = (dict(run.load().named_parameters()) for run in (before, after))
    assert all(torch.allclose(a[n], b[n], atol=1e-6) for n in a if n.startswith("stages."))


@pytest.mark.parametrize("name", RECIPES.names())
def test_a_recipe_says_how_it_is_run(name: str) -> None:
    said = RECIPES[name].__doc__
    assert said is not None and f"spikedrive train {name}" in said


def test_an_unknown_recipe_lists_the_nearest() -> None:
    with pytest.raises(
        UnknownNameError, match=r"no recipe named 'fashion_mni'; .* The nearest: fashion_mnist"
    ):
        get_recipe("fashion_mni")
    assert get_recipe("fashion_mnist_mini") == fashion_mnist_mini()
