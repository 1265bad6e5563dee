"""Labelled sets of a simulated camera, made on first use and kept in the cache."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikedrive.data.events.clips import EventSet, PackedClips
from spikedrive.data.events.events import Events
from spikedrive.data.events.simulated.camera import EventCamera
from spikedrive.data.events.simulated.scenes import render, saccades
from spikedrive.data.events.simulated.shards import Shard, cached
from spikedrive.data.seeds import generator
from spikedrive.data.sources import load_images
from spikedrive.errors import ConfigError, DataError

TOGETHER = 32
"""Clips that one camera sees side by side."""
SHARD = 512
"""Clips of a file."""
MOTIONS = ("right", "left", "down", "up", "clockwise", "anticlockwise", "closer", "farther")
DURATION = 320_000
"""Microseconds of a clip of `moving_fashion`."""
CAMERA = {"positive": 0.4, "negative": 0.4, "dark": 0.1}
"""Of all sets: the edge of a bright thing sends five or six events."""
NOISY = {"mismatch": 0.1, "leak": 0.1, "shot": 1.0, "refractory": 1000}
"""A camera with noise; all numbers as `EventCamera` takes them."""


def saccades_fashion(
    source: str, split: str, *, clips: int | None = None, size: int = 34, noise: bool = False, seed: int = 0
) -> EventSet:
    """Fashion pictures under three saccades of 100 ms, as N-MNIST shows digits; the class is that of the picture.

    `source` is an image source of 28 x 28 pictures, `clips` takes so many of a fixed order, `noise` gives the camera
    the settings `NOISY`.

    *Raises*: DataError for the source or its split; ConfigError for a size below 34, which the path needs.
    """
    if size < 34:
        raise ConfigError(
            f"saccades_fashion got size={size}; the path takes at least 34 pixels. Change size."
        )
    images = _first(load_images(source, split, channels=1), clips)
    settings = {
        "source": source,
        "split": split,
        "clips": len(images),
        "pictures": digest(images.images[slice(None)]),
        "size": size,
        "noise": noise,
        "seed": seed,
    }
    shifts, times = saccades()

    def scene(indices: Tensor, _source: torch.Generator) -> Tensor:
        pictures = images.images[indices][:, 0].float() / 255
        return render(pictures, size=(size, size), shift=shifts[:, None].expand(-1, len(indices), 2))

    make = partial(
        simulate, images.labels.tolist(), scene, times.numpy(), size, noise, (seed, split == "test", 0)
    )
    return cached("saccades_fashion", settings, images.class_names, make)


def moving_fashion(
    split: str, *, clips: int | None = None, size: int = 64, noise: bool = False, seed: int = 0
) -> EventSet:
    """Fashion pictures that move in one of eight ways (`MOTIONS`), for 320 ms; the class is the motion.

    Where a picture is, how it is turned and how large it is in the middle of a clip are drawn alike for all classes,
    and opposite motions pass the same moments in reverse. A moment at an end of a clip says more: a picture that moves
    to the right begins on the left. Training clips show bundled training pictures, test clips test pictures: 2,000 and
    500 unless told otherwise.

    *Raises*: DataError for another split; ConfigError for a size below 32.
    """
    if split not in ("train", "test"):
        raise DataError(f"moving_fashion has no split {split!r}; it has train, test. Ask for one of these.")
    if size < 32:
        raise ConfigError(f"moving_fashion got size={size}; it takes at least 32 pixels. Change size.")
    count = clips or (2000 if split == "train" else 500)
    images = load_images("fashion_mnist_mini", split, channels=1)
    order = torch.randperm(len(images), generator=generator(seed, 0))
    labels = [k % len(MOTIONS) for k in range(count)]
    settings = {"split": split, "clips": count, "size": size, "noise": noise, "seed": seed}
    times = np.linspace(0, DURATION, 81)

    def scene(indices: Tensor, source: torch.Generator) -> Tensor:
        pictures = images.images[order[indices % len(order)]][:, 0].float() / 255
        return moved(pictures, [labels[int(i)] for i in indices], size, len(times), source)

    make = partial(simulate, labels, scene, times, size, noise, (seed, split == "test", 1))
    return cached("moving_fashion", settings, MOTIONS, make)


def moved(pictures: Tensor, motions: list[int], size: int, frames: int, source: torch.Generator) -> Tensor:
    """Each picture in its motion, of `MOTIONS`, through the middle of a square field.

    *Shapes*: pictures (B, 28, 28) -> (frames, B, size, size).
    """
    b = len(pictures)
    kind = torch.tensor(motions)
    drawn = torch.rand(5, b, generator=source)
    # how far it goes by the middle of the clip: that of half the way before, that of half the way behind
    phase = torch.linspace(-1, 1, frames)[:, None]
    reach = size * (0.15 + 0.1 * drawn[0])
    middle = (drawn[1:3] - 0.5) * 0.2 * size
    start = 2 * math.pi * drawn[3]
    direction = torch.tensor([(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)])
    moves, turns, zooms = kind < 4, (kind // 2) == 2, (kind // 2) == 3
    sign = torch.where(kind % 2 == 0, 1.0, -1.0)
    way = direction[kind.clamp(max=3)] * (reach * moves)[:, None]
    shift = middle.T + phase[:, :, None] * way
    angle = start + phase * sign * turns * (math.pi / 4 + math.pi / 4 * drawn[0])
    growth = phase * sign * zooms * (0.3 + 0.3 * drawn[0])
    scale = size / 28 * (0.4 + 0.2 * drawn[4]) * growth.exp()
    return render(
        pictures, size=(size, size), shift=shift, angle=angle.expand(frames, b), scale=scale.expand(frames, b)
    )


def digest(pictures: Tensor) -> str:
    """What tells these pictures from others, so that a folder whose pictures change is another source."""
    return hashlib.sha256(repr(tuple(pictures.shape)).encode() + pictures.numpy().tobytes()).hexdigest()


def _first(images: Any, clips: int | None) -> Any:
    if clips is None:
        return images
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return images.subset(order[:clips])


def simulate(
    labels: list[int], scene: Callable[[Tensor, torch.Generator], Tensor], times: np.ndarray, size: int, noise: bool,
    place: tuple[int, ...],
) -> Iterator[Shard]:  # fmt: skip
    """The clips of a square sensor that sees scenes, in shards, for `cached`; a bar on stderr shows how far it is.

    `scene` gives the pictures of the clips of these numbers, drawn from the generator; `place` addresses all that is
    drawn.

    *Shapes*: scene: (B,) -> (N, B, size, size); times (N,) in microseconds.
    """
    from rich.console import Console
    from rich.progress import track

    # stdout is left to what was asked for
    console = Console(stderr=True)
    clips: list[Events] = []
    shown: list[int] = []
    starts = range(0, len(labels), TOGETHER)
    for first in track(
        starts, "simulating events", transient=True, console=console, disable=not console.is_terminal
    ):
        indices = torch.arange(first, min(first + TOGETHER, len(labels)))
        source = generator(*map(int, place), first)
        pictures = scene(indices, source).numpy()
        clips += _seen(pictures, times, size, noise, source)
        shown += [labels[int(i)] for i in indices]
        if len(clips) >= SHARD:
            yield PackedClips.of(clips), shown
            clips, shown = [], []
    if clips:
        yield PackedClips.of(clips), shown


def _seen(
    pictures: np.ndarray, times: np.ndarray, size: int, noise: bool, source: torch.Generator
) -> list[Events]:
    """The events of several clips, which one tall camera sees on top of each other."""
    frames, b = pictures.shape[:2]
    seed = int(torch.randint(2**62, (), generator=source))
    camera = EventCamera(size, b * size, seed=seed, **CAMERA, **(NOISY if noise else {}))
    array = camera.see(pictures.reshape(frames, b * size, size), times).array
    found = []
    for k in range(b):
        own = array[array["y"] // size == k].copy()
        own["y"] -= k * size
        found.append(Events(own, size, size))
    return found


def _saccades_of(source: str, _folder: Path | None) -> Mapping[str, Callable[[], EventSet]]:
    return {split: partial(saccades_fashion, source, split) for split in ("train", "test")}


def _moving(size: int, noise: bool, _folder: Path | None) -> Mapping[str, Callable[[], EventSet]]:
    return {split: partial(moving_fashion, split, size=size, noise=noise) for split in ("train", "test")}


SETS: dict[str, Callable[[Path | None], Mapping[str, Callable[[], EventSet]]]] = {
    "saccades_fashion_mini": partial(_saccades_of, "fashion_mnist_mini"),
    "saccades_fashion": partial(_saccades_of, "fashion_mnist"),
    "moving_fashion": partial(_moving, 64, False),
    "moving_fashion_128": partial(_moving, 128, False),
    "moving_fashion_noisy": partial(_moving, 64, True),
}
"""By name, as `load_events` takes them."""
