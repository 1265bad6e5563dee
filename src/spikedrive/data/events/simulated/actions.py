"""Actions that neither of two cameras can tell alone: what colour moves, and which way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from spikedrive.data.events.clips import Clips
from spikedrive.data.events.paired.clips import PairedClip, PairedSet
from spikedrive.data.events.simulated.sets import DURATION, MOTIONS, TOGETHER, moved, simulate
from spikedrive.data.events.simulated.shards import cached
from spikedrive.data.seeds import generator
from spikedrive.data.sources import load_images
from spikedrive.errors import ConfigError, DataError

WAYS = MOTIONS[:4]
"""Right, left, down, up."""
LUMA = (0.299, 0.587, 0.114)
"""What red, green and blue add to the brightness that a sensor without colours sees (ITU-R BT.601)."""
BRIGHTNESS = 0.5
"""Of all colours: with less green where there is red or blue."""
COLOURS = {
    name: (red, (BRIGHTNESS - LUMA[0] * red - LUMA[2] * blue) / LUMA[1], blue)
    for name, red, blue in (("red", 1.0, 0.0), ("green", 0.0, 0.0), ("blue", 0.0, 1.0))
}
CLASSES = tuple(f"{colour} {way}" for colour in COLOURS for way in WAYS)
_PLACE = 5
"""Of the random numbers of this set."""


def paired_actions(
    split: str = "train", *, clips: int | None = None, size: int = 32, noise: bool = False, seed: int = 0
) -> PairedSet:
    """Fashion pictures of three colours that move in four ways for 320 ms; the class is the colour and the way.

    The event camera sees no colours, and all of them are equally bright: its events say the way, and nothing of the
    colour. The other camera takes one picture, in the middle of the clip, where all ways look alike: it says the
    colour, and nothing of the way. So one camera alone is right for a third of the clips, or for a quarter, at best.

    Training clips show bundled training pictures, test clips test pictures: 2,000 and 500 unless told otherwise.
    `noise` is that of `moving_fashion`. The events are made once and kept in the user's cache.

    *Shapes*: each clip has one picture (1, 3, size, size) and events of 2 polarities.
    *Raises*: DataError for another split; ConfigError for a size below 32.
    """
    if split not in ("train", "test"):
        raise DataError(f"paired_actions has no split {split!r}; it has train, test. Ask for one of these.")
    if size < 32:
        raise ConfigError(f"paired_actions got size={size}; it takes at least 32 pixels. Change size.")
    count = clips or (2000 if split == "train" else 500)
    images = load_images("fashion_mnist_mini", split, channels=1)
    order = torch.randperm(len(images), generator=generator(seed, _PLACE))
    labels = [k % len(CLASSES) for k in range(count)]
    ways = [label % len(WAYS) for label in labels]
    place = (seed, int(split == "test"), _PLACE)
    times = np.linspace(0, DURATION, 81)

    def scene(indices: Tensor, source: torch.Generator, frames: int = len(times)) -> Tensor:
        pictures = images.images[order[indices % len(order)]][:, 0].float() / 255
        return moved(pictures, [ways[int(i)] for i in indices], size, frames, source)

    settings = {"split": split, "clips": count, "size": size, "noise": noise, "seed": seed}
    made = cached(
        "paired_actions", settings, CLASSES, partial(simulate, labels, scene, times, size, noise, place)
    )
    # the middle of three moments is that of all: the same draws give the same scene
    middles = [
        scene(torch.arange(first, min(first + TOGETHER, count)), generator(*place, first), 3)[1]
        for first in range(0, count, TOGETHER)
    ]
    tints = torch.tensor([COLOURS[CLASSES[label].split()[0]] for label in labels])
    stills = (torch.cat(middles)[:, None] * tints[:, :, None, None] * 255).round().to(torch.uint8)
    return PairedSet(_Actions(stills, made.clips), made.labels, CLASSES, size, size, event_channels=2)


@dataclass(frozen=True, eq=False)
class _Actions:
    """A still and the events of each clip."""

    stills: Tensor
    events: Clips

    def __len__(self) -> int:
        return len(self.stills)

    def __getitem__(self, index: int, /) -> PairedClip:
        events = self.events[index]
        return PairedClip(self.stills[index][None], events)
