"""Counts of events moved over the sensor, as their events would be."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from spikedrive.data.events.augment.moving import move
from spikedrive.data.events.events import EVENT, Events


def move_frames(frames: Tensor, matrix: np.ndarray, shift: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """Each count added to the pixel to which `data.events.augment.move` brings its events; what leaves is dropped.

    Whole numbers stay whole: nothing is interpolated. A sum beyond what an integer type holds stays at its largest.

    *Shapes*: frames (..., H, W), matrix (2, 2) -> (..., H, W) of the same dtype.
    """
    height, width = frames.shape[-2:]
    # an event on each pixel, whose time says which, so that the rule stands in one place
    pixels = np.zeros(height * width, EVENT)
    pixels["t"] = np.arange(height * width)
    pixels["y"], pixels["x"] = np.divmod(np.arange(height * width), width)
    found = move(Events(pixels, width, height), matrix, shift).array
    places = torch.from_numpy(found["y"].astype(np.int64) * width + found["x"]).to(frames.device)
    sources = torch.from_numpy(found["t"].copy()).to(frames.device)
    flat = frames.flatten(-2)
    wide = flat if flat.is_floating_point() else flat.long()
    moved = torch.zeros_like(wide).index_add_(-1, places, wide[..., sources]).view_as(frames)
    return moved if frames.is_floating_point() else moved.clamp(max=torch.iinfo(frames.dtype).max).to(frames)
