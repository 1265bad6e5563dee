"""What a model of video learns from: frames, and what is seen in them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from spikedrive.data.images import hold_out
from spikedrive.errors import DataError, DtypeError, ShapeError


@dataclass(frozen=True, eq=False)
class VideoSet:
    """Clips of one length and size, and for each its class, a mask a frame, and key points a frame.

    *Shapes*: frames (N, T, C, H, W) uint8; labels (N,) int64; masks (N, T, H, W) uint8; points (N, T, K, 2) float32.
    *Units*: a mask holds the number of a name in `mask_names`. Points are (x, y) as shares of width and height: the
    centre of the pixel in column i and row j is ((i + 0.5) / W, (j + 0.5) / H); beyond the edges they are below 0 or
    above 1.
    *Raises*: ShapeError, DtypeError, DataError for parts that do not fit together.
    """

    frames: Tensor
    labels: Tensor
    masks: Tensor
    points: Tensor
    class_names: tuple[str, ...]
    mask_names: tuple[str, ...]
    point_names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.frames.dim() != 5:
            raise ShapeError(
                f"VideoSet got frames of shape {tuple(self.frames.shape)}; it takes (N, T, C, H, W). Add the missing "
                "axis, e.g. frames[:, :, None] for (N, T, H, W)."
            )
        n, t, _, h, w = self.frames.shape
        shapes = {"labels": (n,), "masks": (n, t, h, w), "points": (n, t, len(self.point_names), 2)}
        for key, shape in shapes.items():
            if getattr(self, key).shape != shape:
                raise ShapeError(
                    f"VideoSet got {key} of shape {tuple(getattr(self, key).shape)} for frames of shape "
                    f"{tuple(self.frames.shape)}; it takes {shape}. Check that both are of the same clips."
                )
        kinds = {"frames": torch.uint8, "labels": torch.int64, "masks": torch.uint8, "points": torch.float32}
        for key, dtype in kinds.items():
            if getattr(self, key).dtype != dtype:
                raise DtypeError(
                    f"VideoSet got {key} of {getattr(self, key).dtype}; it takes {dtype}. Convert with .to({dtype})."
                )
        for key, names in (("labels", self.class_names), ("masks", self.mask_names)):
            held = getattr(self, key)
            if held.numel() and not 0 <= int(held.min()) <= int(held.max()) < len(names):
                raise DataError(
                    f"VideoSet got {key} from {int(held.min())} to {int(held.max())} and {len(names)} names; they are "
                    f"at least 0 and below {len(names)}. Name every one."
                )

    def __len__(self) -> int:
        return len(self.frames)

    def subset(self, indices: Tensor) -> VideoSet:
        """The clips at `indices`, in that order."""
        return VideoSet(
            self.frames[indices], self.labels[indices], self.masks[indices], self.points[indices],
            self.class_names, self.mask_names, self.point_names,
        )  # fmt: skip

    def split(self, fraction: float, seed: int = 0) -> tuple[VideoSet, VideoSet]:
        """Two disjoint parts, the second with `fraction` of every class; as `ImageSet.split`.

        *Raises*: ConfigError unless 0 <= fraction < 1.
        """
        held = hold_out(self.labels, len(self.class_names), fraction, seed)
        return self.subset(torch.nonzero(~held).squeeze(1)), self.subset(torch.nonzero(held).squeeze(1))
