"""Frames and voxel grids of events: the compiled form, its plain twin, NumPy, and tonic where it is installed.

Usage: python benchmarks/event_representations.py [--rounds N] [--events MILLIONS]

One core, T = 10 steps, events at random places, which is the worst case for a processor's caches. `from events` starts
at the structured array that recordings give, as NumPy and tonic do; the others at a batch of flat tensors. Seconds are
those of the processor, so that a busy machine counts less. tonic is taken where it can be imported (tonic 1.7.0 with
importRosbag, expelliarmus and scipy). Writes results/event_representations.csv.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import results
import torch

from spikedrive.data.events import Events, batch_events
from spikedrive.engine.measure.race import Spread, pinned, race
from spikedrive.ops.events import EventBatch, frames, native, reference, voxel_grid

STEPS = 10
SENSORS = ((128, 128), (640, 480), (1280, 720))
Work = Callable[[], Any]


def recording(count: int, width: int, height: int) -> Events:
    """Ten seconds of events anywhere."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 10_000_000, count))
    x, y, p = (rng.integers(0, n, count) for n in (width, height, 2))
    return Events.of(t, x, y, p, width=width, height=height)


def works(what: str, events: Events, batch: EventBatch) -> dict[str, Work]:
    """By who does it."""
    if what == "frames":
        found: dict[str, Work] = {
            "compiled": lambda: native.frames(batch, STEPS, False, None, None),
            "compiled, from events": lambda: frames(batch_events([events]), steps=STEPS),
            "plain PyTorch": lambda: reference.frames(batch, STEPS, False, None, None),
            "NumPy": lambda: numpy_frames(events),
        }
    else:
        found = {
            "compiled": lambda: native.voxel_grid(batch, STEPS, True),
            "compiled, from events": lambda: voxel_grid(batch_events([events]), steps=STEPS),
            "plain PyTorch": lambda: reference.voxel_grid(batch, STEPS, True),
            "NumPy": lambda: numpy_voxel_grid(events),
        }
    if importlib.util.find_spec("tonic"):
        found[f"tonic {version('tonic')}"] = tonic_work(what, events)
    return found


def numpy_frames(events: Events) -> np.ndarray:
    """`frames` in NumPy."""
    a, shape = events.array, (STEPS, 2, events.height, events.width)
    since = a["t"] - float(a["t"][0])
    step = np.minimum((since / since[-1] * STEPS).astype(np.int64), STEPS - 1)
    place = ((step * 2 + a["p"]) * events.height + a["y"]) * events.width + a["x"]
    return np.bincount(place, minlength=int(np.prod(shape))).reshape(shape).astype(np.float32)


def numpy_voxel_grid(events: Events) -> np.ndarray:
    """`voxel_grid` in NumPy."""
    a, shape = events.array, (STEPS, 1, events.height, events.width)
    since = a["t"] - float(a["t"][0])
    position = since / since[-1] * (STEPS - 1)
    step = position.astype(np.int64)
    above, sign = position - step, 2.0 * a["p"] - 1
    place, plane = (step * events.height + a["y"]) * events.width + a["x"], events.height * events.width
    size = STEPS * plane
    grid = np.bincount(place, sign * (1 - above), size)
    grid += np.bincount(place + plane, sign * above, size + plane)[:size]
    return grid.reshape(shape).astype(np.float32)


def tonic_work(what: str, events: Events) -> Work:
    """tonic's transform of the same events. It writes -1 into the polarities, which it is given signed for that."""
    from tonic import transforms  # pyright: ignore[reportMissingImports]

    size = (events.width, events.height, 2)
    array = events.array
    if what == "frames":
        made = transforms.ToFrame(sensor_size=size, n_time_bins=STEPS)
    else:
        made = transforms.ToVoxelGrid(sensor_size=size, n_time_bins=STEPS)
        array = array.astype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "<i2")])
    return lambda: made(array)


def check(what: str, events: Events, batch: EventBatch) -> None:
    """Exit unless the three forms of ours agree: a speed of other numbers is no speed."""
    if what == "frames":
        ours = native.frames(batch, STEPS, False, None, None)
        twins = reference.frames(batch, STEPS, False, None, None), torch.from_numpy(numpy_frames(events))
        bound = 0.0
    else:
        ours = native.voxel_grid(batch, STEPS, True)
        twins = reference.voxel_grid(batch, STEPS, True), torch.from_numpy(numpy_voxel_grid(events))
        # sums of some hundred fp32 weights, against double ones
        bound = 1e-3
    for twin in twins:
        off = float((twin.view(ours.shape) - ours).abs().max())
        if off > bound:
            raise SystemExit(f"error: the forms of {what} differ by {off}")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--events", type=float, default=2.0, help="millions of events")
    options = parser.parse_args()
    results.refuse_while_red()
    torch.set_num_threads(1)
    rows = []
    for width, height in SENSORS:
        events = recording(round(1e6 * options.events), width, height)
        batch = batch_events([events])
        for what in ("frames", "voxel grid"):
            check(what, events, batch)
            with pinned(1):
                load = os.getloadavg()[0]
                seconds = race(works(what, events, batch), options.rounds, clock=time.process_time)
            for who, times in seconds.items():
                spread = Spread.of([len(events) / 1e6 / s for s in times])
                rows.append(
                    {
                        "what": what, "sensor": f"{width} x {height}", "who": who, "events": len(events),
                        "steps": STEPS, "rounds": options.rounds, "load": round(load, 1),
                        "million_events_per_s": round(spread.median, 1), "low": round(spread.low, 1),
                        "high": round(spread.high, 1),
                    }
                )  # fmt: skip
                print(*rows[-1].values(), flush=True)
    print(results.write("event_representations", rows).relative_to(results.ROOT))


if __name__ == "__main__":
    main()
