"""Two clips made into one, whose targets are weighed by what each gives to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from torch import Tensor

from spikedrive.data.events.events import Events
from spikedrive.data.transforms.checks import check_share
from spikedrive.data.transforms.mixing import check_alpha, draw_mix, rectangle
from spikedrive.errors import DtypeError, ShapeError


@final
class MixArea:
    """In one rectangle of the sensor, the same for all, the events of another clip of the batch, with `probability`.

    Targets are weighed by the area that is exchanged.

    *Shapes*: B clips of one sensor, targets (B, K) -> the same.
    *Source*: CutMix (arXiv:1905.04899) on events, as in EventMix and EventRPG's comparison.
    """

    def __init__(self, alpha: float = 1.0, probability: float = 1.0) -> None:
        self.alpha = check_alpha(alpha, type(self).__name__)
        self.probability = check_share(probability, "MixArea got probability")

    def __call__(
        self, clips: Sequence[Events], targets: Tensor, generator: torch.Generator
    ) -> tuple[list[Events], Tensor]:
        """The mixed clips, and the weighed targets."""
        _check_pairs(clips, targets, type(self).__name__)
        partner, weight, applied = draw_mix(len(clips), self.alpha, self.probability, generator)
        across, down = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        if not applied or not clips:
            return list(clips), targets
        box = rectangle(weight, (across, down), clips[0].height, clips[0].width)
        mixed = [mix_area(clip, clips[int(j)], box) for clip, j in zip(clips, partner, strict=True)]
        kept = mixed[0][1]
        return [clip for clip, _ in mixed], torch.lerp(targets[partner], targets, kept)


@final
class MixTime:
    """The first part of each clip, and behind it what another clip of the batch has there, with `probability`.

    Targets are weighed by the durations of the two parts, of the longest clip of the batch.

    *Shapes*: B clips of one sensor, targets (B, K) -> the same.
    """

    def __init__(self, alpha: float = 1.0, probability: float = 1.0) -> None:
        self.alpha = check_alpha(alpha, type(self).__name__)
        self.probability = check_share(probability, "MixTime got probability")

    def __call__(
        self, clips: Sequence[Events], targets: Tensor, generator: torch.Generator
    ) -> tuple[list[Events], Tensor]:
        """The mixed clips, and the weighed targets."""
        _check_pairs(clips, targets, type(self).__name__)
        partner, weight, applied = draw_mix(len(clips), self.alpha, self.probability, generator)
        end = max((int(clip.array["t"][-1]) + 1 for clip in clips if len(clip)), default=0)
        if not applied or not end:
            return list(clips), targets
        cut = round(weight * end)
        mixed = [mix_time(clip, clips[int(j)], cut) for clip, j in zip(clips, partner, strict=True)]
        return mixed, torch.lerp(targets[partner], targets, cut / end)


def mix_area(one: Events, other: Events, box: tuple[int, int, int, int]) -> tuple[Events, float]:
    """One clip's events outside `box` (top, bottom, left, right) and the other's inside, and the first one's share.

    *Raises*: ShapeError for clips of two sensors.
    """
    _check_sensors([one, other], "mix_area")
    top, bottom, left, right = box

    def inside(events: Events) -> np.ndarray:
        x, y = events.array["x"], events.array["y"]
        return (x >= left) & (x < right) & (y >= top) & (y < bottom)

    area = max(bottom - top, 0) * max(right - left, 0)
    share = 1 - area / (one.width * one.height)
    return _merged(one, one.array[~inside(one)], other.array[inside(other)]), share


def mix_time(one: Events, other: Events, cut: int) -> Events:
    """One clip's events before the time `cut`, and the other's from it on.

    *Units*: cut in microseconds of the clips' clocks.
    *Raises*: ShapeError for clips of two sensors.
    """
    _check_sensors([one, other], "mix_time")
    return _merged(one, one.array[one.array["t"] < cut], other.array[other.array["t"] >= cut])


def _merged(like: Events, *parts: np.ndarray) -> Events:
    array = np.concatenate(parts)
    return Events(array[np.argsort(array["t"], kind="stable")], like.width, like.height)


def _check_sensors(clips: Sequence[Events], who: str) -> None:
    sizes = sorted({(clip.width, clip.height) for clip in clips})
    if len(sizes) > 1:
        raise ShapeError(f"{who} got clips of {sizes} pixels; all are of one sensor. Crop them first.")


def _check_pairs(clips: Sequence[Events], targets: Tensor, who: str) -> None:
    _check_sensors(clips, who)
    if targets.dim() != 2 or len(targets) != len(clips):
        raise ShapeError(
            f"{who} got targets of shape {tuple(targets.shape)} for {len(clips)} clips; it takes (B, K), one row a "
            "clip. Make them with one_hot(labels, classes)."
        )
    if not targets.is_floating_point():
        raise DtypeError(f"{who} got targets of {targets.dtype}; it takes floats. Make them with one_hot.")
