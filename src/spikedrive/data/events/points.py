"""Events as a set of points: a sample of them, each with its place and time between 0 and 1."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from spikedrive.data.events.events import Events
from spikedrive.data.seeds import generator
from spikedrive.errors import ConfigError, DataError


def events_to_points(events: Events, count: int = 1024, *, seed: int = 0, polarity: bool = False) -> Tensor:
    """`count` events drawn at random, as points x, y, t in 0..1, and with `polarity` p, 0 or 1.

    x and y are 0 at the first pixel and 1 at the last, t at the first and last event of the clip. Where there are fewer
    events than `count`, all of them are taken, and further ones are drawn again. The points stand in order of time.

    *Shapes*: (count, 3), or (count, 4).
    *Raises*: ConfigError for a count below 1; DataError for a clip without events.

    >>> events = Events.of([10, 20, 30], [0, 1, 3], [0, 1, 1], [1, 0, 1], width=4, height=2)
    >>> events_to_points(events, 3)[:, 2].tolist()
    [0.0, 0.5, 1.0]
    """
    if count < 1:
        raise ConfigError(f"events_to_points got count={count}; it takes at least 1 point. Change count.")
    if not len(events):
        raise DataError(
            "events_to_points got a clip without events; it takes at least one. Make the window longer, or leave the "
            "clip out."
        )
    draw = generator(seed)
    chosen = torch.randperm(len(events), generator=draw)[:count]
    if len(chosen) < count:
        again = torch.randint(len(events), (count - len(chosen),), generator=draw)
        chosen = torch.cat([chosen, again])
    part = events.array[chosen.sort().values.numpy()]
    first = int(events.array["t"][0])
    columns = [
        part["x"] / max(1, events.width - 1),
        part["y"] / max(1, events.height - 1),
        (part["t"] - first) / max(1, events.duration),
    ]
    if polarity:
        columns.append(part["p"].astype(np.float64))
    return torch.from_numpy(np.stack(columns, 1).astype(np.float32))
