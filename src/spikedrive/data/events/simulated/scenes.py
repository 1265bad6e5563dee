"""Pictures that move in front of a camera."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from spikedrive.errors import ConfigError, ShapeError


def saccades(
    corners: Sequence[tuple[float, float]] = ((-3, -3), (0, 3), (3, -3), (-3, -3)),
    *,
    duration: float = 300_000,
    frames: int = 121,
) -> tuple[Tensor, Tensor]:
    """Where the gaze is: straight from corner to corner, all legs of one duration.

    The corners are (dx, dy) in pixels; those of the default go around a triangle in three legs of 100 ms, as the
    camera of N-MNIST did.

    *Shapes*: -> shifts (frames, 2) in pixels, times (frames,) in microseconds.
    *Raises*: ConfigError for less than two corners or frames, or no duration.
    *Source*: Orchard et al. 2015 (N-MNIST): three saccades along a triangle.
    """
    if len(corners) < 2 or frames < 2 or not 0 < duration < float("inf"):
        raise ConfigError(
            f"saccades got {len(corners)} corners, frames={frames} and duration={duration}; it takes at least 2, at "
            "least 2, and a duration above 0. Change them."
        )
    points = torch.tensor(corners, dtype=torch.float64)
    place = torch.linspace(0, len(corners) - 1, frames, dtype=torch.float64)
    leg = place.floor().long().clamp(max=len(corners) - 2)
    share = (place - leg).unsqueeze(1)
    shifts = points[leg] * (1 - share) + points[leg + 1] * share
    return shifts.float(), torch.linspace(0, duration, frames, dtype=torch.float64)


def render(
    pictures: Tensor,
    *,
    size: tuple[int, int],
    shift: Tensor,
    angle: Tensor | None = None,
    scale: Tensor | None = None,
) -> Tensor:
    """Each picture in the middle of a black field, moved, turned and enlarged, with bilinear samples.

    A point p of a picture, from its centre, is seen at scale R(angle) p + shift, from the centre of the field.

    *Shapes*: pictures (B, H, W), shift (N, B, 2) in pixels of the field as (dx, dy), angle (N, B) in radians, clockwise
    on the screen, scale (N, B) in pixels of the field per pixel of the picture -> (N, B, *size).
    *Raises*: ShapeError for parts that do not fit together.
    """
    n, b = shift.shape[:2]
    angle = torch.zeros(n, b) if angle is None else angle
    scale = torch.ones(n, b) if scale is None else scale
    if pictures.dim() != 3 or b != len(pictures) or not angle.shape == scale.shape == (n, b):
        raise ShapeError(
            f"render got pictures {tuple(pictures.shape)}, shift {tuple(shift.shape)}, angle {tuple(angle.shape)} and "
            f"scale {tuple(scale.shape)}; it takes (B, H, W), (N, B, 2), (N, B) and (N, B). Make them of one B and N."
        )
    height, width = size
    h, w = pictures.shape[1:]
    # from a pixel of the field back to the picture: p = R(-angle) (q - shift) / scale, then to -1..1 of the picture
    cos, sin = angle.cos() / scale, angle.sin() / scale
    back = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], -2)
    moved = -(back @ shift.unsqueeze(-1))
    unit = torch.tensor([2 / w, 2 / h])
    field = torch.tensor([width / 2, height / 2])
    theta = torch.cat([back * field, moved], -1) * unit[:, None]
    grid = F.affine_grid(theta.flatten(0, 1), [n * b, 1, height, width], align_corners=False)
    several = pictures.float().expand(n, b, h, w).reshape(n * b, 1, h, w)
    seen = F.grid_sample(several, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return seen.view(n, b, height, width)
