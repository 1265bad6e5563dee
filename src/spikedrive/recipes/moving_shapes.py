"""Recipes for the drawn set of moving shapes: three heads on one backbone."""

from __future__ import annotations

from typing import Literal

from spikedrive.recipes._registry import RECIPES
from spikedrive.recipes.video_clips import video_clips
from spikedrive.training import Recipe


def _nano(task: Literal["video", "segment", "pose"]) -> Recipe:
    # a start at which neurons fire: with the original's few do, and the first epochs teach little
    return video_clips("spike_video_former_nano", "moving_shapes", task).replace(
        model_args={"init": "levels"}
    )


def classify() -> Recipe:
    """Which shape it is and where it goes.

    *Command*: `spikedrive train moving_shapes.video`.
    """
    return _nano("video")


def segment() -> Recipe:
    """What every pixel of every frame belongs to.

    *Command*: `spikedrive train moving_shapes.segment`.
    """
    # nine pixels of ten are background
    recipe = _nano("segment")
    return recipe.replace(task={**recipe.task, "balance": 0.5})


def pose() -> Recipe:
    """Where the shape's centre and the arm's elbow and hand are, in every frame.

    *Command*: `spikedrive train moving_shapes.pose`.
    """
    return _nano("pose")


RECIPES.add("moving_shapes.video", classify)
RECIPES.add("moving_shapes.segment", segment)
RECIPES.add("moving_shapes.pose", pose)
