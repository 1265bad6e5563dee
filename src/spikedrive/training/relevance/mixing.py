"""RPGMix: what two clips are recognised by, side by side in one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from spikedrive.errors import ConfigError, ShapeError

Box = tuple[int, int, int, int]
"""Left, top, right and bottom, the last two outside."""


def relevant_boxes(saliency: Tensor, *, cell: int = 8, deviations: float = 0.0) -> list[Box]:
    """The smallest rectangle around the places of a clip that are at least as salient as the mean.

    Saliency is added over steps and polarities, and averaged in cells of `cell` pixels. The limit is the mean and so
    many standard deviations, or the largest value where that is less; a clip that is salient nowhere gives its whole
    sensor.

    *Shapes*: saliency (T, B, 2, H, W) -> B boxes.
    *Units*: pixels.
    *Raises*: ConfigError for a cell of no pixel.
    *Source*: EventRPG's code, which averages by the strides of the stage that it looks at.
    """
    if cell < 1:
        raise ConfigError(
            f"relevant_boxes got cell={cell}; it takes pixels of at least 1. Use 8, or 1 for none."
        )
    height, width = saliency.shape[-2:]
    # a cell at the border has fewer pixels, and is their mean
    cells = F.avg_pool2d(
        saliency.sum((0, 2))[:, None], cell, ceil_mode=True, count_include_pad=False
    ).squeeze(1)
    boxes = []
    for each in cells:
        limit = torch.minimum(each.mean() + deviations * each.std(correction=0), each.max())
        # a mean is rounded, and may lie above numbers that are all the same
        rows, columns = torch.nonzero(each >= limit - 1e-6 * each.abs().max(), as_tuple=True)
        left, right = int(columns.min()) * cell, min((int(columns.max()) + 1) * cell, width)
        top, bottom = int(rows.min()) * cell, min((int(rows.max()) + 1) * cell, height)
        boxes.append((left, top, right, bottom))
    return boxes


def place_apart(one: Box, other: Box, width: int, height: int, generator: torch.Generator) -> tuple[Box, Box]:
    """Two boxes of the same sizes elsewhere on the sensor, side by side or one above the other, as far as they fit.

    Where they fit neither way they lie in two opposite corners, and overlap as little as they can.

    *Source*: EventRPG's cases. **Where we differ**: places are drawn with equal chances from those of one direction.
    """
    sizes = [(right - left, bottom - top) for left, top, right, bottom in (one, other)]
    room = (width - sizes[0][0] - sizes[1][0], height - sizes[0][1] - sizes[1][1])
    axes = [axis for axis in (0, 1) if room[axis] >= 0]
    first_is_one = _below(2, generator) == 0
    ordered = sizes if first_is_one else sizes[::-1]
    corners = [[0, 0], [0, 0]]
    if axes:
        axis = axes[_below(len(axes), generator)]
        start = _below(room[axis] + 1, generator)
        corners[0][axis] = start
        corners[1][axis] = start + ordered[0][axis] + _below(room[axis] - start + 1, generator)
        across, side = 1 - axis, (width, height)[1 - axis]
        for corner, size in zip(corners, ordered, strict=True):
            corner[across] = _below(side - size[across] + 1, generator)
    else:
        corners[1] = [width - ordered[1][0], height - ordered[1][1]]
        if _below(2, generator):
            corners[0][1], corners[1][1] = height - ordered[0][1], 0
    boxes = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(corners, ordered, strict=True)]
    return (boxes[0], boxes[1]) if first_is_one else (boxes[1], boxes[0])


def mix_relevant(
    frames: Tensor, targets: Tensor, boxes: Sequence[Box], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Each clip shifted so that its box and that of the next clip of the batch lie apart, the next one's events in it.

    *Equation*: the target is w y_b + (1 - w) y_(b+1), w = (A_b - O) / (A_b + A_(b+1) - O), with the areas A of the
    boxes and O of what both cover, which is the next one's. A clip that would be empty stays as it came, with w = 1.
    *Shapes*: frames (T, B, 2, H, W), targets (B, K), B boxes -> frames of the same dtype, targets.
    *Raises*: ShapeError for other numbers of boxes.
    *Source*: RPGMix of EventRPG (ICLR 2024), with its mask behind the shift.
    """
    batch, height, width = frames.shape[1], *frames.shape[-2:]
    if len(boxes) != batch or len(targets) != batch:
        raise ShapeError(
            f"mix_relevant got {batch} clips, {len(boxes)} boxes and {len(targets)} targets; one of each a clip is "
            "taken. Use relevant_boxes(saliency)."
        )
    mixed, weights = torch.empty_like(frames), torch.ones(batch, dtype=targets.dtype)
    for b in range(batch):
        following = (b + 1) % batch
        mine, theirs = place_apart(boxes[b], boxes[following], width, height, generator)
        clip = _shifted(frames[:, b], boxes[b], mine)
        left, top, right, bottom = theirs
        moved = _shifted(frames[:, following], boxes[following], theirs)
        clip[..., top:bottom, left:right] = moved[..., top:bottom, left:right]
        if bool(clip.any()):
            mixed[:, b], weights[b] = clip, _weight(mine, theirs)
        else:
            mixed[:, b] = frames[:, b]
    share = weights.to(targets.device)[:, None]
    return mixed, share * targets + (1 - share) * targets.roll(-1, 0)


def _weight(mine: Box, theirs: Box) -> float:
    areas = [(right - left) * (bottom - top) for left, top, right, bottom in (mine, theirs)]
    wide = max(min(mine[2], theirs[2]) - max(mine[0], theirs[0]), 0)
    tall = max(min(mine[3], theirs[3]) - max(mine[1], theirs[1]), 0)
    both = wide * tall
    whole = sum(areas) - both
    return (areas[0] - both) / whole


def _shifted(clip: Tensor, box: Box, to: Box) -> Tensor:
    """A clip (T, 2, H, W) whose box lies elsewhere, without what leaves the sensor."""
    x, y = to[0] - box[0], to[1] - box[1]
    height, width = clip.shape[-2:]
    out = torch.zeros_like(clip)
    out[..., max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)] = clip[
        ..., max(-y, 0) : height + min(-y, 0), max(-x, 0) : width + min(-x, 0)
    ]
    return out


def _below(most: int, generator: torch.Generator) -> int:
    return int(torch.randint(most, (), generator=generator))
