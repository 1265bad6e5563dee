"""Images per second of the small model: training, fp32 inference, and the integer program on NumPy and natively.

Usage: python benchmarks/speed.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import results
import torch

import spikedrive as sd
from spikedrive.data import load_images
from spikedrive.data.transforms import normalise

MODEL = "meta_spikeformer_nano"
REPEATS = 5


def main() -> None:
    """Measure, and write results/speed.csv."""
    results.refuse_while_red()
    images = load_images("fashion_mnist_mini", "test")
    mean, std = images.statistics()
    torch.manual_seed(0)
    model = sd.create_model(MODEL)
    program = sd.compile(sd.fuse(model), torch.zeros(1, *images.shape), mean=mean, std=std)
    rows = []
    for batch in (1, 64):
        pixels = images.images[:batch]
        x, labels = normalise(pixels, mean, std), images.labels[:batch]
        raw = np.asarray(pixels)
        deployed = sd.fuse(model)
        measured = {
            "fp32 inference": per_second(lambda x=x, m=deployed: _infer(m, x), batch),
            "integer program on NumPy": per_second(lambda raw=raw: program.run(raw, runtime="numpy"), batch),
            "integer program, native": per_second(lambda raw=raw: program.run(raw, runtime="native"), batch),
        }
        if batch > 1:
            measured["training"] = per_second(lambda x=x, y=labels: _step(model, x, y), batch)
        rows += [{"what": what, "batch": batch, **figures} for what, figures in measured.items()]
    for row in rows:
        print(f"{row['what']}, batch {row['batch']}: {row['images_per_s']:.0f} images/s")
    print(results.write("speed", rows).relative_to(results.ROOT))


def per_second(work: Callable[[], object], batch: int, seconds: float = 2.0) -> dict[str, float]:
    """The median of several timings with its spread, after a warm-up."""
    work()
    start = time.perf_counter()
    work()
    count = max(1, int(seconds / (time.perf_counter() - start)))
    speeds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(count):
            work()
        speeds.append(batch * count / (time.perf_counter() - start))
    return {
        "images_per_s": round(median(speeds), 1),
        "low": round(min(speeds), 1),
        "high": round(max(speeds), 1),
    }


@torch.no_grad()
def _infer(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    return model(x)


def _step(model: torch.nn.Module, x: torch.Tensor, labels: torch.Tensor) -> None:
    model.train()
    loss = torch.nn.functional.cross_entropy(model(x), labels)
    loss.backward()
    for parameter in model.parameters():
        parameter.grad = None


if __name__ == "__main__":
    main()
