"""Arrays as small PNG pictures inside the page."""

from __future__ import annotations

import base64
import io

import numpy as np
import plotly.colors
from PIL import Image


def photograph(image: np.ndarray) -> str:
    """A uint8 image (C, H, W) as a data URI; one channel is grey, three are colour, others show their mean."""
    if len(image) == 3:
        return _png(image.transpose(1, 2, 0))
    return _png(image.mean(0).astype(np.uint8))


def heat(values: np.ndarray) -> str:
    """Numbers (H, W) as a data URI in the cividis colours, from zero (dark) to the largest (light)."""
    top = float(values.max())
    shares = values / top if top > 0 else np.zeros_like(values, dtype=float)
    places = np.linspace(0, 1, len(_CIVIDIS))
    channels = [np.interp(shares, places, _CIVIDIS[:, i]) for i in range(3)]
    return _png(np.stack(channels, -1).round().astype(np.uint8))


def heat_gradient() -> str:
    """The colours of `heat` as a CSS gradient from left to right."""
    stops = (f"rgb({red},{green},{blue})" for red, green, blue in _CIVIDIS)
    return f"linear-gradient(to right, {', '.join(stops)})"


_CIVIDIS = np.array([plotly.colors.hex_to_rgb(c) for c in plotly.colors.sequential.Cividis])


def _png(pixels: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
