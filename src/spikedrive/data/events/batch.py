"""Several clips of one sensor as one batch of flat tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from spikedrive.data.events.events import Events
from spikedrive.data.events.slices import Slice
from spikedrive.errors import DataError
from spikedrive.ops.events import EventBatch


def batch_events(clips: Sequence[Events | Slice], *, device: torch.device | str | None = None) -> EventBatch:
    """Clips of one sensor one behind the other, for `spikedrive.ops.events`.

    The time of a clip goes from its first event to its last; that of a `Slice` is the slice's own, so that a window
    without events, or with none at its ends, keeps its clock.

    *Raises*: DataError for no clip, or several sensors.

    >>> clips = [Events.of([10, 25], [0, 3], [1, 1], [1, 0], width=4, height=2)] * 2
    >>> batch = batch_events(clips)
    >>> batch.t.tolist(), batch.offsets.tolist(), batch.end.tolist()
    ([10, 25, 10, 25], [0, 2, 4], [25, 25])
    """
    if isinstance(clips, Events | Slice):
        raise DataError("batch_events got a single clip; it takes several, or a list of one. Pass [clip].")
    events = [clip.events if isinstance(clip, Slice) else clip for clip in clips]
    sizes = {(part.width, part.height) for part in events}
    if len(sizes) != 1:
        raise DataError(
            f"batch_events got clips of {sorted(sizes) or 'no'} sensors; it takes those of one. Batch them apart."
        )
    ((width, height),) = sizes
    t, x, y, p = (
        torch.from_numpy(np.concatenate([part.array[name] for part in events], dtype=dtype))
        for name, dtype in (("t", np.int64), ("x", np.int32), ("y", np.int32), ("p", np.uint8))
    )
    offsets = torch.tensor(np.cumsum([0, *map(len, events)]))
    begin, end = (torch.tensor(times) for times in zip(*map(_time, clips), strict=True))
    batch = EventBatch(t, x, y, p, offsets, begin, end, width, height)
    return batch if device is None else batch.to(device)


def _time(clip: Events | Slice) -> tuple[int, int]:
    if isinstance(clip, Slice):
        return clip.start, clip.end
    return (int(clip.array["t"][0]), int(clip.array["t"][-1])) if len(clip) else (0, 0)
