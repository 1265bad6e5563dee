"""The recipe: typed, flat, frozen, and clear about slips."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from spikedrive.errors import ConfigError
from spikedrive.training import Recipe

BASE = Recipe(model="meta_spikeformer_nano", data="fashion_mnist_mini")


def test_it_is_flat_frozen_and_at_most_30_fields() -> None:
    assert len(dataclasses.fields(Recipe)) <= 30
    with pytest.raises(dataclasses.FrozenInstanceError):
        BASE.lr = 1.0  # pyright: ignore[reportAttributeAccessIssue]


def test_it_survives_json() -> None:
    recipe = BASE.replace(
        model_args={"neuron": {"name": "ILIF", "levels": 2}}, augment={"RandomCrop": {"padding": 2}}
    )
    assert Recipe(**json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("lr=1e-2", "lr", 0.01),
        ("epochs=3", "epochs", 3),
        ("task.name=masked", "task", {"name": "masked"}),
        ("data=12", "data", "12"),
        ("teacher=runs/a/best.safetensors", "teacher", "runs/a/best.safetensors"),
        ("image_size=none", "image_size", None),
        ("augment.RandomCrop.padding=2", "augment", {"RandomCrop": {"padding": 2}}),
        ('optimizer_args={"betas": [0.9, 0.98]}', "optimizer_args", {"betas": [0.9, 0.98]}),
    ],
)
def test_overrides_are_read_as_the_type_of_their_key(text: str, key: str, value: Any) -> None:
    assert getattr(BASE.override([text]), key) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "learning_rat=1",
            r"no key 'learning_rat'; it has 30, the nearest are .*\. Write \w+=\.\.\. or leave it out",
        ),
        ("weight_deca=1", "Write weight_decay="),
        ("lr=fast", r"'lr' got 'fast'; it takes a valid number.* Change lr="),
        ("lr=-1", r"'lr' got -1; it takes a number greater than 0\. Change lr="),
        ("lr=NaN", r"'lr' got nan; it takes"),
        ("epochs=0", "'epochs' got 0; it takes a number greater than or equal to 1"),
        ("val_fraction=1", "'val_fraction' got 1; it takes"),
        ("precision=fp8", "'precision' got 'fp8'; it takes '32-true', 'bf16-mixed' or '64-true'"),
        ("lr", "Got the override 'lr'; it takes key=value"),
        ("lr.x=1", "lr holds no table. Write lr=1"),
    ],
)
def test_slips_say_what_is_accepted(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BASE.override([text])


def test_model_and_data_are_needed() -> None:
    with pytest.raises(ConfigError, match="came without 'data'; it takes at least model and data"):
        Recipe(model="meta_spikeformer_nano")  # pyright: ignore[reportCallIssue]
