"""EventRPG: clips of events augmented where a model's answer comes from."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from spikedrive.data.events.augment import DropArea, affine
from spikedrive.data.events.augment.draws import between, check_range
from spikedrive.data.transforms.checks import check_share
from spikedrive.errors import DtypeError, ShapeError, ValueRangeError
from spikedrive.training.relevance.frames import move_frames
from spikedrive.training.relevance.mixing import mix_relevant, relevant_boxes
from spikedrive.training.relevance.propagate import Method, propagate_relevance

_MOST_ANGLE = math.pi / 3
_MOST_SHIFT = _MOST_SHEAR = 0.3
_SCALE = (0.5, 1.5)
_AREA = (0.1, 0.5)


def saliency(
    model: nn.Module, frames: Tensor, *, method: Method = "slrp", classes: Tensor | None = None
) -> Tensor:
    """Where the answer for each clip comes from: its relevance, from 0 where it is least to 1 where it is most.

    0 everywhere for a clip whose relevance is the same everywhere, or not finite. The model is left as it came.

    *Shapes*: frames (T, B, 2, H, W), classes (B,) as in `propagate_relevance` -> as frames.
    *Raises*: ShapeError; ConfigError, UnknownNameError as `propagate_relevance`.
    """
    check_frames(frames, "saliency")
    # of a negative logit places would be the more salient, the less they had to do with it
    relevance = propagate_relevance(model, frames, method=method, classes=classes, start=1.0)
    whole = relevance.transpose(0, 1).flatten(1)
    finite = whole.isfinite().all(1, keepdim=True)
    whole = torch.where(finite, whole, 0.0)
    above = whole - whole.amin(1, keepdim=True)
    most = above.amax(1, keepdim=True)
    share = torch.where(most > 0, above / torch.where(most > 0, most, 1.0), 0.0)
    return share.view_as(relevance.transpose(0, 1)).transpose(0, 1)


def drop_relevant(
    frames: Tensor, share: Tensor, saliency: Tensor, generator: torch.Generator, *, mask: Tensor | None = None
) -> Tensor:
    """Each event left out with the probability share times saliency of its place; with a mask only events inside it.

    *Equation*: n <- Binomial(n, 1 - share_b s[t, b, p, y, x]).
    *Shapes*: frames and saliency (T, B, 2, H, W), share (B,), mask (B, H, W) bool -> as frames, of the same dtype.
    *Raises*: ShapeError for other shapes; ValueRangeError for frames that are no counts.
    *Source*: RPGDrop of EventRPG (ICLR 2024).
    """
    check_frames(frames, "drop_relevant")
    batch, (height, width) = frames.shape[1], frames.shape[-2:]
    if saliency.shape != frames.shape or share.shape != (batch,):
        raise ShapeError(
            f"drop_relevant got frames of {tuple(frames.shape)}, saliency of {tuple(saliency.shape)} and shares of "
            f"{tuple(share.shape)}; saliency is as frames, and shares are (B,). Use saliency(model, frames)."
        )
    if mask is not None and (mask.shape != (batch, height, width) or mask.dtype != torch.bool):
        raise ShapeError(
            f"drop_relevant got a mask of {tuple(mask.shape)} and {mask.dtype}; ({batch}, {height}, {width}) bool is "
            "taken. Compare a map of places with a threshold."
        )
    if frames.is_floating_point() and not bool(((frames >= 0) & (frames == frames.round())).all()):
        raise ValueRangeError(
            "drop_relevant got frames that are no whole numbers of events; counts are taken. Drop before they are "
            "normalised."
        )
    dropped = share[:, None, None, None] * saliency
    if mask is not None:
        dropped = dropped * mask[:, None]
    kept = torch.binomial(
        frames.to(generator.device, torch.float32),
        (1 - dropped).clamp(0, 1).to(generator.device, torch.float32),
        generator=generator,
    )
    return kept.to(frames)


@final
class EventRPG:
    """Augmentation of a batch of frames of events, guided by the model that learns from it.

    With the probability `mix` the clips are mixed in pairs (`mix_relevant`). Otherwise one of ten operations is drawn:
    dropping by relevance (`drop_relevant`), with shares from `drop`, is then that of the whole batch; else each clip
    gets one of its own of the others: none, a rectangle left out, mirrored, turned by up to 60 degrees, shifted or
    sheared along x or y by up to 0.3, scaled by 0.5 to 1.5. A clip that would have no event left stays as it came.

    *Shapes*: frames (T, B, 2, H, W) of counts, targets (B, K) that sum to 1 -> the same.
    *Source*: Sun et al., EventRPG (ICLR 2024) and its code. **Where we differ**: it moves events, which are then
    binned; here counts are moved, which is the same but for `levels`. Its boxes come from the saliency of the last
    stage; ours from that of the input, gathered in cells of `cell` pixels. Clips move around the sensor's centre, not
    that of their events.
    """

    def __init__(
        self,
        *,
        mix: float = 0.5,
        drop: tuple[float, float] = (0.5, 1.0),
        method: Method = "slrp",
        cell: int = 8,
        deviations: float = 0.0,
    ) -> None:
        self.mix = check_share(mix, "EventRPG got mix")
        self.drop = check_range(drop, "EventRPG got drop", 0.0, 1.0)
        self.method: Method = method
        self.cell, self.deviations = cell, deviations

    def __call__(
        self, model: nn.Module, frames: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The augmented frames, and their targets."""
        check_frames(frames, "EventRPG")
        if targets.dim() != 2 or len(targets) != frames.shape[1]:
            raise ShapeError(
                f"EventRPG got targets of shape {tuple(targets.shape)} for {frames.shape[1]} clips; it takes (B, K), "
                "one row a clip. Make them with one_hot(labels, classes)."
            )
        if not targets.is_floating_point():
            raise DtypeError(
                f"EventRPG got targets of {targets.dtype}; it takes floats. Make them with one_hot."
            )
        mixed = between(0, 1, generator) < self.mix
        by_relevance = between(0, 1, generator) < 1 / 10
        if mixed:
            found = saliency(model, frames, method=self.method)
            boxes = relevant_boxes(found, cell=self.cell, deviations=self.deviations)
            return mix_relevant(frames, targets, boxes, generator)
        if by_relevance:
            found = saliency(model, frames, method=self.method)
            low, high = self.drop
            share = low + (high - low) * torch.rand(frames.shape[1], generator=generator)
            return _refilled(drop_relevant(frames, share.to(found), found, generator), frames), targets
        changed = [_changed(frames[:, b], generator) for b in range(frames.shape[1])]
        return _refilled(torch.stack(changed, 1), frames), targets


def check_frames(frames: Tensor, who: str) -> None:
    """*Raises*: ShapeError unless frames are (T, B, 2, H, W)."""
    if frames.dim() != 5 or frames.shape[2] != 2:
        raise ShapeError(
            f"{who} got frames of shape {tuple(frames.shape)}; it takes (T, B, 2, H, W). Bin events with FrameReader."
        )


def _changed(clip: Tensor, generator: torch.Generator) -> Tensor:
    """One clip (T, 2, H, W) after one of the nine operations that no model guides."""
    height, width = clip.shape[-2:]
    chosen = int(torch.randint(9, (), generator=generator))
    if chosen == 1:
        left, top, right, bottom = DropArea(_AREA).box(width, height, generator)
        clip = clip.clone()
        clip[..., top:bottom, left:right] = 0
        return clip
    if chosen == 2:
        return clip.flip(-1)
    by = between(-1, 1, generator)
    moved = {
        3: (affine(angle=by * _MOST_ANGLE), (0.0, 0.0)),
        4: (affine(), (round(by * _MOST_SHIFT * width), 0.0)),
        5: (affine(), (0.0, round(by * _MOST_SHIFT * height))),
        6: (affine(shear=(by * _MOST_SHEAR, 0.0)), (0.0, 0.0)),
        7: (affine(shear=(0.0, by * _MOST_SHEAR)), (0.0, 0.0)),
        8: (affine(scale=sum(_SCALE) / 2 + by * (_SCALE[1] - _SCALE[0]) / 2), (0.0, 0.0)),
    }
    return move_frames(clip, *moved[chosen]) if chosen in moved else clip


def _refilled(found: Tensor, frames: Tensor) -> Tensor:
    """The clips, and those that came in the place of empty ones."""
    some = found.transpose(0, 1).flatten(1).any(1)
    return torch.where(some[:, None, None, None], found, frames)
