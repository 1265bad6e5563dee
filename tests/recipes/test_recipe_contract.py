"""Every recipe of the registry trains, and resumes to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from spikedrive.errors import UnknownNameError
from spikedrive.recipes import RECIPES, fashion_mnist_mini, get_recipe, image_folder
from spikedrive.training import Recipe, train
from tiny_training import TINY_MODEL, write_pictures


class StopHereError(Exception):
    """What the test's callback throws."""


def tiny(recipe: Recipe, pictures: Path) -> Recipe:
    """The recipe on tiny pictures and a tiny model: two epochs of two steps."""
    return recipe.replace(
        data=str(pictures), model_args={**recipe.model_args, **TINY_MODEL}, image_size=8, epochs=2, val_fraction=0.2,
        batch_size=16, accumulate=1, shards=0, threads=1, device="cpu", save_minutes=1e-9,
    )  # fmt: skip


@pytest.mark.parametrize("name", [*RECIPES.names(), "image_folder"])
def test_two_steps_then_a_resumed_run_equals_an_unbroken_one(name: str, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "pictures.npz")
    full = image_folder("meta_spikeformer_nano", pictures) if name == "image_folder" else get_recipe(name)
    recipe = tiny(full, pictures)

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
