"""Frames and voxel grids, each one `torch.library` node."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float32
from torch import Tensor

from spikedrive.errors import ConfigError, unknown_name
from spikedrive.ops import implementation
from spikedrive.ops.domain import Binary, Domain, Integer
from spikedrive.ops.events import native, reference
from spikedrive.ops.events.batch import EventBatch

By = Literal["time", "count"]

_BATCH = (
    "Tensor t, Tensor x, Tensor y, Tensor p, Tensor offsets, Tensor begin, Tensor end, int width, int height"
)
_library = torch.library.Library("spikedrive", "FRAGMENT")
_library.define(f"event_frames({_BATCH}, int steps, bool by_count, float? bin, int? levels) -> Tensor")
_library.define(f"event_voxel_grid({_BATCH}, int steps, bool signed) -> Tensor")


def frames(
    batch: EventBatch,
    *,
    steps: int,
    by: By = "time",
    bin: float | None = None,
    levels: int | None = None,
) -> Float32[Tensor, "T B 2 H W"]:
    """Count events by step, clip, polarity and place.

    *Equation*: y[k, b, p, y, x] is the number of events of polarity p at (x, y) in step k of clip b. An event falls
    into

        by="time"   floor((t - begin) / bin), and with bin=None floor(steps (t - begin) / (end - begin))
        by="count"  floor(i / bin) for the i-th event of its clip, and with bin=None floor(i steps / N)

    With bin=None every event is counted, one at the end of its clip in the last step; with a size for the bins, those
    behind the last step are left out. `levels` limits each count; `frames_domain` says what values follow.

    *Shapes*: B clips -> (steps, B, 2, H, W), the darker polarity first.
    *Units*: `bin` in the unit of t (time) or in events (count).
    *Multiplies*: none; the first layer meets whole numbers.
    *Raises*: ConfigError for steps, bin or levels that are not positive; ValueRangeError for an event outside the
    sensor, of another polarity or outside the time of its clip.
    """
    check_whole("frames", steps=steps)
    if by not in ("time", "count"):
        raise unknown_name("way to bin events", by, ("time", "count"))
    if bin is not None and not (bin > 0 and (by == "time" or bin == int(bin))):
        raise ConfigError(
            f"frames got by={by!r} and bin={bin}; it takes a time above 0, or a whole number of events above 0. Change "
            "bin."
        )
    if levels is not None:
        check_whole("frames", levels=levels)
    most = None if levels is None else int(levels)
    return torch.ops.spikedrive.event_frames(*_flat(batch), int(steps), by == "count", bin, most)


def frames_domain(levels: int | None) -> Domain | None:
    """What `frames` holds: whole numbers to `levels`, spikes for one level; None for counts without a limit.

    >>> str(frames_domain(4)), str(frames_domain(1)), frames_domain(None)
    ('integer 0..4', 'binary 0..1', None)
    """
    if levels is None:
        return None
    return Binary() if levels == 1 else Integer(levels)


def voxel_grid(batch: EventBatch, *, steps: int, signed: bool = True) -> Float32[Tensor, "T B C H W"]:
    """Spread each event over the two steps that its time lies between.

    *Equation*: with t* = (steps - 1) (t - begin) / (end - begin) in [0, steps - 1], and q in {-1, 1} the polarity,

        V[k, b, 0, y, x] = sum over the events of clip b at (x, y) of q max(0, 1 - |k - t*|)

    and with signed=False the same without q, in one channel for each polarity. Steps are points in time here, not
    bins: the event at `begin` counts in step 0 alone, the one at `end` in the last alone, so that these two gather from
    half as long as the others. The weights of an event sum to 1. With one step, and in a clip without length, all
    events fall into step 0 with weight 1.

    *Shapes*: B clips -> (steps, B, 1, H, W), or (steps, B, 2, H, W) with the darker polarity first.
    *Multiplies*: the first layer meets real numbers.
    *Raises*: ConfigError for steps below 1; ValueRangeError as `frames`.
    *Source*: Zhu et al. 2019 (arXiv 1812.08156), equations 1 to 3, for events at whole pixels, where the weights in x
    and y are 1. There, begin and end are the first and the last event; here also the window that cut them.
    """
    check_whole("voxel_grid", steps=steps)
    return torch.ops.spikedrive.event_voxel_grid(*_flat(batch), int(steps), signed)


def check_whole(owner: str, **numbers: int) -> None:
    """Raise ConfigError unless all are whole numbers from 1 on."""
    for name, number in numbers.items():
        if number != int(number) or number < 1:
            raise ConfigError(
                f"{owner} got {name}={number}; it takes a whole number from 1 on. Change {name}."
            )


def _flat(batch: EventBatch) -> tuple[Any, ...]:
    return (
        batch.t, batch.x, batch.y, batch.p, batch.offsets, batch.begin, batch.end, batch.width, batch.height,
    )  # fmt: skip


def _batch(*columns: Any) -> EventBatch:
    batch = EventBatch(*columns)
    # the compiled form reads where they point
    batch.check_offsets()
    return batch


def _module(batch: EventBatch) -> Any:
    return native if implementation.is_native(batch.t) else reference


def _frames(*arguments: Any) -> Tensor:
    batch = _batch(*arguments[:9])
    return _module(batch).frames(batch, *arguments[9:])


def _voxel_grid(*arguments: Any) -> Tensor:
    batch = _batch(*arguments[:9])
    return _module(batch).voxel_grid(batch, *arguments[9:])


def _fake_frames(*arguments: Any) -> Tensor:
    return _empty(*arguments[:10], channels=2)


def _fake_voxel_grid(*arguments: Any) -> Tensor:
    return _empty(*arguments[:10], channels=1 if arguments[10] else 2)


def _empty(
    t: Tensor, _x: Any, _y: Any, _p: Any, _o: Any, begin: Tensor, _e: Any, width: int, height: int, steps: int,
    *, channels: int,
) -> Tensor:  # fmt: skip
    return t.new_empty((steps, begin.shape[0], channels, height, width), dtype=torch.float32)


def _refuse_vmap(*_: Any) -> Any:
    raise ConfigError(
        "Events came mapped by torch.vmap; frames and voxel_grid take a batch of clips. Put them into one EventBatch."
    )


for _name, _forward, _fake in (
    ("event_frames", _frames, _fake_frames),
    ("event_voxel_grid", _voxel_grid, _fake_voxel_grid),
):
    _library.impl(_name, _forward, "CompositeExplicitAutograd")
    torch.library.register_fake(f"spikedrive::{_name}", _fake, lib=_library)
    torch.library.register_vmap(f"spikedrive::{_name}", _refuse_vmap, lib=_library)
