"""Shapes that move and carry an arm of two parts: drawn from a seed, with everything that can be asked of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spikedrive.data.seeds import generator
from spikedrive.data.video.clips import VideoSet
from spikedrive.errors import ConfigError, DataError

SHAPES = ("disc", "bar", "triangle")
CLASSES = tuple(f"{shape} to the {way}" for shape in SHAPES for way in ("right", "left"))
MASKS = ("background", *SHAPES, "arm")
POINTS = ("centre", "elbow", "hand")
CLIPS = {"train": 1200, "test": 300}
"""Clips of each split."""
GRID = 32.0
"""Lengths below are in pixels of a frame of this side, and grow with the frame."""
ARM = 0.9
"""Half the width of the arm."""
APOTHEMS = (1.0, math.sqrt(math.pi / 12), math.sqrt(math.pi / (3 * math.sqrt(3))))
"""From the centre of each shape to its nearest edge, for a radius of 1: all have the area of the disc. A bar is three
times as long as it is wide."""


@dataclass(frozen=True, eq=False)
class Scenes:
    """What is drawn.

    *Shapes*: kind and radius (N,); angle (N, T); points (N, T, 3, 2), (x, y) of centre, elbow and hand.
    *Units*: radians; lengths in pixels of a frame of side `GRID`, from its upper left corner.
    """

    kind: Tensor
    radius: Tensor
    angle: Tensor
    points: Tensor


def moving_shapes(
    split: str = "train",
    *,
    clips: int | None = None,
    size: int = 32,
    steps: int = 8,
    noise: float = 0.05,
    seed: int = 0,
) -> VideoSet:
    """Grey clips of one shape each, which goes to the right or to the left, turns, and swings an arm.

    The class says which shape and where to, a mask where in a frame each thing is, and the points where the shape's
    centre and the arm's elbow and hand are. A clip to the left is a clip to the right in reverse, so that no frame by
    itself, nor all of them without their order, says where to. The same arguments give the same clips.

    *Shapes*: frames (N, steps, 1, size, size); N is 1200 for "train" and 300 for "test", or `clips`.
    *Units*: `noise` is the standard deviation of each pixel's brightness, of 0 to 1. A hand may be beyond the edge,
    by two pixels of 32.
    *Raises*: DataError for another split; ConfigError for numbers out of range.

    >>> clips = moving_shapes("test", clips=6)
    >>> tuple(clips.frames.shape), clips.class_names[int(clips.labels[0])], clips.point_names
    ((6, 8, 1, 32, 32), 'disc to the right', ('centre', 'elbow', 'hand'))
    """
    if split not in CLIPS:
        raise DataError(
            f"moving_shapes has no split {split!r}; it has {', '.join(CLIPS)}. Ask for one of these."
        )
    count = CLIPS[split] if clips is None else clips
    for name, value, low in (
        ("clips", count, 1),
        ("size", size, 8),
        ("steps", steps, 1),
        ("noise", noise, 0),
    ):
        if value < low:
            raise ConfigError(
                f"moving_shapes got {name}={value}; it takes a number of at least {low}. Change {name}."
            )
    source = generator(seed, sorted(CLIPS).index(split))
    labels = torch.arange(count) % len(CLASSES)
    scenes = _scenes(labels, steps, source)
    shades = 0.45 + 0.5 * torch.rand(count, 2, generator=source, dtype=torch.float64)
    masks = torch.cat([draw(part, size) for part in _parts(scenes)])
    # one shade for whatever the shape is, another for the arm
    palette = torch.cat(
        [torch.full((count, 1), 0.1), shades[:, :1].expand(-1, len(SHAPES)), shades[:, 1:]], 1
    )
    frames = palette.gather(1, masks.flatten(1).long()).view(masks.shape)
    if noise:
        frames = frames + noise * torch.randn(frames.shape, generator=source, dtype=torch.float32)
    pixels = (frames.clamp(0, 1) * 255).round().to(torch.uint8)
    points = (scenes.points / GRID).float()
    return VideoSet(pixels[:, :, None], labels, masks, points, CLASSES, MASKS, POINTS)


def draw(scenes: Scenes, size: int) -> Tensor:
    """What is at the centre of each pixel, as a number of `MASKS`; the arm lies on top.

    *Shapes*: (N, T, size, size) uint8.
    """
    at = (torch.arange(size, dtype=torch.float64) + 0.5) * (GRID / size)
    pixel = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)
    centre, elbow, hand = (scenes.points[:, :, k, None, None] for k in range(3))
    apart = pixel - centre
    turn = scenes.angle[..., None, None]
    # how far a pixel is from the centre, by the ruler of each shape: in units of its apothem
    far = [apart.square().sum(-1).sqrt()]
    along = [
        apart[..., 0] * a.cos() + apart[..., 1] * a.sin()
        for a in (turn, turn + math.pi / 2, turn + 2 * math.pi / 3, turn + 4 * math.pi / 3)
    ]
    far.append(torch.maximum(along[0].abs() / 3, along[1].abs()))
    far.append(torch.stack([along[0], along[2], along[3]]).amax(0))
    kind, radius = scenes.kind[:, None, None, None], scenes.radius[:, None, None, None]
    own = torch.stack([f / a for f, a in zip(far, APOTHEMS, strict=True)]).gather(
        0, kind.expand(far[0].shape)[None]
    )[0]
    mask = torch.where(own <= radius, kind + 1, 0)
    near = torch.minimum(_distance(pixel, centre, elbow), _distance(pixel, elbow, hand))
    return torch.where(near <= ARM, len(MASKS) - 1, mask).to(torch.uint8)


def _distance(pixel: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """From a pixel to the line from a to b."""
    along = (((pixel - a) * (b - a)).sum(-1) / (b - a).square().sum(-1)).clamp(0, 1)
    return (pixel - a - along[..., None] * (b - a)).square().sum(-1).sqrt()


def _scenes(labels: Tensor, steps: int, source: torch.Generator) -> Scenes:
    count = len(labels)

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=source, dtype=torch.float64)

    t = torch.arange(steps, dtype=torch.float64)
    radius = between(3.5, 5.0)
    # 4 to 12 pixels in all, whatever the number of steps, and never closer to an edge than 8
    way = between(4.0, 12.0)
    passed = t / max(1, steps - 1)
    x = (8 + (16 - way) * between(0, 1))[:, None] + way[:, None] * passed
    slope = between(-6.0, 6.0)
    y = (8 + slope.abs() / 2 + (16 - slope.abs()) * between(0, 1))[:, None] + slope[:, None] * (passed - 0.5)
    upper = between(0, 2 * math.pi)[:, None] + between(-2.5, 2.5)[:, None] * passed
    bend = between(0.6, 2.2)[:, None] * torch.where(between(0, 1) < 0.5, -1.0, 1.0)[:, None]
    swing = 0.5 * (2 * math.pi * passed + between(0, 2 * math.pi)[:, None]).sin()
    lower = upper + bend + swing
    centre = torch.stack([x, y], -1)
    elbow = centre + 6.0 * torch.stack([upper.cos(), upper.sin()], -1)
    hand = elbow + 4.0 * torch.stack([lower.cos(), lower.sin()], -1)
    angle = between(0, 2 * math.pi)[:, None] + between(-1.5, 1.5)[:, None] * passed
    points = torch.stack([centre, elbow, hand], 2)
    reverse = labels % 2 == 1
    return Scenes(
        labels // 2,
        radius,
        torch.where(reverse[:, None], angle.flip(1), angle),
        torch.where(reverse[:, None, None, None], points.flip(1), points),
    )


def _parts(scenes: Scenes, together: int = 128) -> list[Scenes]:
    # a pixel takes some hundred bytes while it is drawn
    pieces = (x.split(together) for x in (scenes.kind, scenes.radius, scenes.angle, scenes.points))
    return [Scenes(*piece) for piece in zip(*pieces, strict=True)]
