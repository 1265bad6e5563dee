"""Slices of events as a picture or a film."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from PIL import Image

from spikedrive.data.events import Events
from spikedrive.files import atomic_write
from spikedrive.live.view import picture

COLOURS = np.array([[255, 255, 255], [0, 114, 178], [213, 94, 0], [0, 0, 0]], np.uint8)
"""Nothing, darker, brighter, both: Okabe and Ito's, as in every report."""
GAP, SHOWN, MILLISECONDS = 2, 160, 100
"""Pixels between slices of one picture; the least side at which each is drawn; how long a film shows each."""


def write_pictures(path: Path, slices: Sequence[Events]) -> None:
    """All slices beside each other (.png), or one after another (.gif); what was there stays on failure.

    Small sensors are drawn with whole pixels of several, up to `SHOWN` a side.
    """
    drawn = [_enlarged(COLOURS[picture(part)]) for part in slices]
    with atomic_write(path) as temporary:
        if path.suffix.lower() == ".gif":
            first, *others = (Image.fromarray(each) for each in drawn)
            first.save(temporary, "GIF", save_all=True, append_images=others, duration=MILLISECONDS, loop=0)
        else:
            Image.fromarray(_sheet(drawn)).save(temporary, "PNG")


def _enlarged(seen: np.ndarray) -> np.ndarray:
    times = max(1, SHOWN // max(seen.shape[:2]))
    return seen.repeat(times, 0).repeat(times, 1)


def _sheet(drawn: Sequence[np.ndarray]) -> np.ndarray:
    columns = ceil(sqrt(len(drawn)))
    rows, (height, width) = ceil(len(drawn) / columns), drawn[0].shape[:2]
    sheet = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), 200, np.uint8)
    for i, each in enumerate(drawn):
        y, x = (GAP + place * (side + GAP) for place, side in ((i // columns, height), (i % columns, width)))
        sheet[y : y + height, x : x + width] = each
    return sheet
