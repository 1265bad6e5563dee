"""How soon a network answers a slice of events, and whether it grows: a recording of 5 ms slices at 128 x 128.

Usage: python benchmarks/streaming_latency.py [--out runs/streaming] [--rounds N] [--millions N]

Trains the recipe moving_fashion_128.csnn_live where its folder is not finished, judges it on its test clips, and plays
these one after another through a live input, on one thread. A row for each way to run it, in interleaved rounds: the
engine with and without the count of energy, and PyTorch. `p99_ms` is of all answers of all rounds, from the complete
slice to the scores. Then the engine plays ten million events, and the process says how much memory it holds after each
million. Writes results/streaming_latency.csv.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import results
import torch

from spikedrive.data.events import EventSet, FrameReader, Slice, load_events, slice_by_time
from spikedrive.live import Network
from spikedrive.recipes import get_recipe
from spikedrive.training import evaluate_clips, train

WATCHED = 60
"""Test clips that are timed."""
RECIPE = "moving_fashion_128.csnn_live"


def main() -> None:
    """Train, judge, time, and write the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/streaming"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--millions", type=int, default=10)
    options = parser.parse_args()
    results.refuse_while_red()
    torch.set_num_threads(1)
    recipe = get_recipe(RECIPE)
    run = train(recipe, options.out / f"csnn_live-{recipe.seed}")
    model, clips = run.load(), load_events(recipe.data, "test")
    reader = FrameReader.of_record(model.metadata["events"])
    judged = evaluate_clips(model, clips, reader)
    path = run.folder / "checkpoints" / "best.safetensors"
    networks = {
        "engine, energy counted": Network.load(path, engine=True),
        "engine": Network.load(path, engine=True),
        "PyTorch": Network.load(path),
    }
    slices = list(played(clips.subset(torch.arange(WATCHED)), reader, 0))
    networks["engine, energy counted"].price([part.events for part in slices[:64]])
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    order, draw = list(networks), random.Random(0)
    for _ in range(options.rounds):
        draw.shuffle(order)
        for name in order:
            session = networks[name].open()
            seconds[name] += [session.answer(part).seconds for part in slices][10:]
    rows: list[dict[str, object]] = [
        {
            "what": f"answers, {name}", "model": recipe.model, "recipe": RECIPE,
            "parameters": run.metrics["parameters"], "accuracy": round(judged["accuracy"], 4),
            "test_clips": judged["clips"], "training_seconds": run.metrics["seconds"], "answers": len(times),
            "events_a_slice": round(float(np.mean([len(part) for part in slices])), 1),
            **{f"{key}_ms": round(1e3 * float(np.quantile(times, share)), 4)
               for key, share in (("median", 0.5), ("p90", 0.9), ("p99", 0.99))},
            "events": None, "memory_mb_first": None, "memory_mb_last": None,
        }
        for name, times in seconds.items()
    ]  # fmt: skip
    rows.append({**rows[1], **grown(networks["engine"], clips, reader, options.millions)})
    for row in rows:
        print(row)
    print(results.write("streaming_latency", rows).relative_to(results.ROOT))


def played(clips: EventSet, reader: FrameReader, rounds: int) -> Iterator[Slice]:
    """The slices of the test clips, one clip behind the other; over and over, `rounds` times more."""
    assert reader.window is not None
    for _ in range(rounds + 1):
        for i in range(len(clips)):
            yield from slice_by_time(clips[i], reader.window, start=0)


def grown(network: Network, clips: EventSet, reader: FrameReader, millions: int) -> dict[str, object]:
    """What the process holds after the first million events, and after the last."""
    session, events, held = network.open(), 0, []
    for part in played(clips, reader, 1000):
        session.answer(part)
        events += len(part)
        if events >= (len(held) + 1) * 1_000_000:
            held.append(_resident())
            if len(held) == millions:
                break
    return {
        "what": "memory, engine", "answers": None, "median_ms": None, "p90_ms": None, "p99_ms": None, "events": events,
        "memory_mb_first": round(held[0] / 1e6, 2), "memory_mb_last": round(held[-1] / 1e6, 2),
    }  # fmt: skip


def _resident() -> int:
    """Bytes that the process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
