"""Textures that move before a simulated camera, and the exact optical flow of every pixel."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spikedrive.data.events.clips import Clips
from spikedrive.data.events.events import Events
from spikedrive.data.events.simulated.sets import DURATION, simulate
from spikedrive.data.events.simulated.shards import cached
from spikedrive.data.seeds import generator
from spikedrive.errors import ConfigError, DataError

KINDS = ("translation", "rotation", "zoom", "all")
"""Ways that a texture moves: one of three, or all of them at once."""
FRAMES = 81
TEXTURE = 256
"""Pixels of a texture, so that a clip of 128 x 128 sees no border; beyond it is its mirror image."""


@dataclass(frozen=True, eq=False)
class Motion:
    """How the points of a plane move: x(t) = exp(zoom t) R(turn t) q + velocity t, from the middle of the view.

    *Units*: velocity (2,) in pixels per second to the right and downwards, turn in radians per second, clockwise on the
    screen, zoom per second; t in microseconds.

    >>> Motion(np.array([10.0, 0.0]), 0.0, 0.0).flow(0, 100_000, width=2, height=1).tolist()
    [[[1.0, 1.0]], [[0.0, 0.0]]]
    """

    velocity: np.ndarray
    turn: float
    zoom: float

    def flow(self, start: float, end: float, *, width: int, height: int) -> np.ndarray:
        """How far what is in the middle of each pixel at `start` has moved by `end`.

        *Shapes*: -> (2, height, width), to the right and downwards.
        *Units*: pixels.
        """
        y, x = np.mgrid[:height, :width]
        place = np.stack([x - (width - 1) / 2, y - (height - 1) / 2])
        moved = self._at(end) @ np.linalg.inv(self._at(start)) @ self._with_one(place)
        return moved[:2].reshape(2, height, width) - place

    def _at(self, time: float) -> np.ndarray:
        seconds = time / 1e6
        size, angle = np.exp(self.zoom * seconds), self.turn * seconds
        cos, sin = size * np.cos(angle), size * np.sin(angle)
        right, down = self.velocity * seconds
        return np.array([[cos, -sin, right], [sin, cos, down], [0, 0, 1]])

    @staticmethod
    def _with_one(place: np.ndarray) -> np.ndarray:
        flat = place.reshape(2, -1)
        return np.concatenate([flat, np.ones((1, flat.shape[1]))])


@dataclass(frozen=True, eq=False)
class FlowClip:
    """Events, and for each slice of time how far every pixel moves in it.

    *Shapes*: times (slices + 1,), flow (slices, 2, H, W), mask (slices, H, W), true where a pixel sent an event.
    *Units*: times in microseconds; flow in pixels per slice, to the right and downwards.
    """

    events: Events
    times: np.ndarray
    flow: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True, eq=False)
class FlowSet:
    """Clips of one sensor, each with the motion that made it; `flows[i]` is a `FlowClip`.

    *Units*: `dt`, the length of a slice, in microseconds.
    """

    clips: Clips
    motions: tuple[Motion, ...]
    kinds: Tensor
    kind_names: tuple[str, ...]
    dt: int
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.motions)

    def __getitem__(self, index: int) -> FlowClip:
        events, motion = self.clips[index], self.motions[index]
        times = np.arange(0, DURATION + 1, self.dt)
        sensor = {"width": self.width, "height": self.height}
        flow = np.stack([motion.flow(a, b, **sensor) for a, b in itertools.pairwise(times.tolist())])
        mask = np.zeros((len(flow), self.height, self.width), bool)
        # the end of a clip belongs to its last slice
        which = np.minimum(events.array["t"] // self.dt, len(mask))
        inside = (which < len(mask)) | (events.array["t"] == times[-1])
        array, which = events.array[inside], np.minimum(which[inside], len(mask) - 1)
        mask[which, array["y"], array["x"]] = True
        return FlowClip(events, times, flow.astype(np.float32), mask)


def moving_textures(
    split: str = "train",
    *,
    clips: int | None = None,
    size: int = 64,
    dt: int = 20_000,
    noise: bool = False,
    seed: int = 0,
) -> FlowSet:
    """Textures that move, turn and zoom for 320 ms, with the exact flow of all pixels; of each of `KINDS` as many.

    The events are made once and kept in the user's cache; the flow is computed from the motion when a clip is asked
    for. 2,000 and 500 clips unless told otherwise; those of train and test share neither textures nor motions.

    *Units*: size in pixels, dt, the length of a slice, in microseconds.
    *Raises*: DataError for another split; ConfigError for a size outside 16 to 128, a dt outside 1,000 to 320,000, or
    no clip.
    """
    if split not in ("train", "test"):
        raise DataError(f"moving_textures has no split {split!r}; it has train, test. Ask for one of these.")
    count = (2000 if split == "train" else 500) if clips is None else clips
    for name, value, least, most in (
        ("size", size, 16, 128), ("dt", dt, 1000, DURATION), ("clips", count, 1, 1_000_000)
    ):  # fmt: skip
        if not least <= value <= most:
            raise ConfigError(
                f"moving_textures got {name}={value}; it takes {least} to {most}. Change {name}."
            )
    place = (seed, int(split == "test"), 2)
    kinds = torch.arange(count) % len(KINDS)
    motions = [_motion(int(kind), size, generator(*place, i, 1)) for i, kind in enumerate(kinds)]
    times = np.linspace(0, DURATION, FRAMES)

    def scene(indices: Tensor, _source: torch.Generator) -> Tensor:
        textures = torch.stack([texture(generator(*place, int(i), 2)) for i in indices])
        return show(textures, [motions[int(i)] for i in indices], times, size=size)

    settings = {"split": split, "clips": count, "size": size, "noise": noise, "seed": seed}
    make = partial(simulate, kinds.tolist(), scene, times, size, noise, place)
    made = cached("moving_textures", settings, KINDS, make)
    return FlowSet(made.clips, tuple(motions), kinds, KINDS, dt, size, size)


def texture(source: torch.Generator, *, pixels: int = TEXTURE) -> Tensor:
    """Smooth noise of several sizes, from 4 pixels on, between 0 and 1.

    *Shapes*: -> (pixels, pixels).
    """
    whole = torch.zeros(1, 1, pixels, pixels)
    for cell in (4, 8, 16, 32):
        grid = torch.rand(1, 1, pixels // cell, pixels // cell, generator=source)
        whole += F.interpolate(grid, size=(pixels, pixels), mode="bicubic", align_corners=False)
    # a strong contrast: a seventh of the points each are black and white
    return (0.5 + 0.5 * (whole - whole.mean()) / whole.std()).clamp(0, 1)[0, 0]


def show(textures: Tensor, motions: list[Motion], times: np.ndarray, *, size: int) -> Tensor:
    """What a camera sees of textures that move, between their points bilinear; beyond a border is the mirror image.

    *Shapes*: textures (B, S, S), times (N,) in microseconds -> (N, B, size, size).
    """
    y, x = np.mgrid[:size, :size]
    place = Motion._with_one(np.stack([x, y]) - (size - 1) / 2)
    seen = []
    for time in times:
        # of each pixel, which point of the texture is there now
        points = np.stack([(np.linalg.inv(motion._at(time)) @ place)[:2].T for motion in motions])
        grid = torch.from_numpy(points / (textures.shape[-1] / 2)).float().view(len(motions), size, size, 2)
        picture = F.grid_sample(textures[:, None], grid, padding_mode="reflection", align_corners=False)
        seen.append(picture[:, 0].clamp(0, 1))
    return torch.stack(seen)


def _motion(kind: int, size: int, source: torch.Generator) -> Motion:
    """Fast enough that edges send events in each slice, and slow enough to move by less than a pixel a frame."""
    drawn = torch.rand(4, generator=source).tolist()
    way, sign = 2 * np.pi * drawn[1], np.sign(drawn[2] - 0.5) or 1.0
    velocity = np.array([np.cos(way), np.sin(way)]) * size * (0.3 + 0.9 * drawn[0])
    turn, zoom = sign * (0.5 + 2 * drawn[3]), sign * (0.4 + 1.2 * drawn[3])
    moves, turns, zooms = (kind in (only, 3) for only in range(3))
    return Motion(velocity * moves, turn * turns, (zoom if kind != 3 else zoom / 2) * zooms)
