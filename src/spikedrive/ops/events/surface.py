"""Time surfaces: how long ago each pixel saw its last event."""

from __future__ import annotations

import torch
from jaxtyping import Float32
from torch import Tensor

from spikedrive.errors import ConfigError
from spikedrive.ops.events import reference
from spikedrive.ops.events.batch import EventBatch
from spikedrive.ops.events.grids import check_whole


def time_surface(
    batch: EventBatch, *, steps: int, tau: float, bin: float | None = None
) -> Float32[Tensor, "T B 2 H W"]:
    """The last event of each polarity and pixel at the end of each step, fading exponentially.

    *Equation*: with T_k = begin + (k + 1) bin, where bin=None means (end - begin) / steps, and L the time of the latest
    event of polarity p at (x, y) in the steps 0 to k, as `frames` counts them by time,

        S[k, b, p, y, x] = exp(-(T_k - L) / tau), and 0 where there was none yet

    *Shapes*: B clips -> (steps, B, 2, H, W), the darker polarity first; values from 0 to 1.
    *Units*: `tau` and `bin` in the unit of t, microseconds.
    *Multiplies*: the first layer meets real numbers.
    *Raises*: ConfigError for steps, tau or bin that are not positive; ValueRangeError as `frames`.
    *Source*: Lagorce et al. 2017 (HOTS, doi 10.1109/TPAMI.2016.2574707), whose surfaces are taken around each event;
    here the whole sensor at the end of each step, so that steps follow each other evenly.
    """
    check_whole("time_surface", steps=steps)
    for name, value in (("tau", tau), ("bin", bin)):
        if value is not None and not value > 0:
            raise ConfigError(f"time_surface got {name}={value}; it takes a time above 0. Change {name}.")
    step, since = reference.time_steps(batch, steps, bin)
    kept = step < steps
    place = reference.places(batch, step, batch.p, 2)[kept]
    latest = since.new_full((steps * len(batch) * 2 * batch.height * batch.width,), -torch.inf)
    latest.scatter_reduce_(0, place, since[kept], "amax")
    latest = latest.view(steps, len(batch), 2, batch.height, batch.width).cummax(0).values
    begin, end = batch.begin.double(), batch.end.double()
    length = (end - begin) / steps if bin is None else torch.full_like(begin, bin)
    ends = torch.arange(1, steps + 1, device=since.device)[:, None] * length
    # an event at the very end of a step may be rounded behind it
    age = (ends[:, :, None, None, None] - latest).clamp(min=0)
    return torch.exp(-age / tau).float()
