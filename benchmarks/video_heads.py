"""Three heads of SpikeVideoFormer on moving shapes, and what a dense network of video sends if it sends changes alone.

Usage: python benchmarks/video_heads.py [heads|delta] [--seeds S ...] [--only NAME ...] [--out FOLDER]

The heads are trained by the recipes moving_shapes.video, .segment and .pose with fewer clips and epochs, one thread a
run; the same command goes on where it was stopped. Checkpoints are chosen on training clips, and judged on the test
split. Beside them stands what is right without looking: the most frequent class, background everywhere, the mean of the
training points; and the half of all clips that frames without their order can tell at most. The network of changes is
four convolutions with ReLU, trained at each threshold and weight of its loss term. Writes results/video_heads.csv and
results/delta_video.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import results
import torch
from torch import Tensor, nn

from spikedrive.blocks import DeltaLayer, record_deltas
from spikedrive.data.video import VideoSet, moving_shapes
from spikedrive.recipes import get_recipe
from spikedrive.tasks import pose, segment
from spikedrive.training import evaluate_video, train
from spikedrive.training.prepare.video import VideoTask, as_frames

HEADS: dict[VideoTask, int] = {"video": 20, "segment": 20, "pose": 20}
"""Epochs of each head."""
CLIPS, DELTA_EPOCHS = 800, 4
SETTINGS = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.2), (0.5, 0.05), (0.25, 0.0), (0.25, 0.2))
"""Threshold, and weight of the mean changes in the loss."""


def main() -> None:
    """Run what is missing, and write the tables of what there is."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("part", nargs="?", choices=("heads", "delta"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=list(HEADS), default=list(HEADS))
    parser.add_argument("--out", type=Path, default=results.ROOT / "runs" / "video_heads")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in options.seeds:
        for head in options.only if options.part != "delta" else ():
            keep("video_heads", learn(head, seed, options.out), ("head", "seed"))
        for threshold, weight in SETTINGS if options.part != "heads" else ():
            row = {"threshold": threshold, "weight": weight, "seed": seed}
            if not any(same(row, old, tuple(row)) for old in results.read("delta_video")):
                keep("delta_video", row | send(threshold, weight, seed), tuple(row))


def keep(name: str, row: dict[str, Any], key: tuple[str, ...]) -> None:
    """The row in place of that of the same key."""
    rows: list[dict[str, Any]] = [old for old in results.read(name) if not same(row, old, key)]
    results.write(name, sorted([*rows, row], key=lambda r: [str(r[k]) for k in key]))
    print(row, flush=True)


def same(row: dict[str, Any], old: dict[str, str], key: tuple[str, ...]) -> bool:
    """Whether both are of one run."""
    return all(str(row[k]) == old[k] for k in key)


def learn(head: VideoTask, seed: int, out: Path) -> dict[str, Any]:
    """One run, and its figures on the test split."""
    recipe = get_recipe(f"moving_shapes.{head}")
    recipe = recipe.replace(
        task={**recipe.task, "clips": CLIPS}, epochs=HEADS[head], seed=seed, threads=1, device="cpu"
    )
    run = train(recipe, out / f"{head}-{seed}", progress=False)
    clips = moving_shapes("test")
    found: dict[str, Any] = dict(evaluate_video(run.load(), clips, head))
    return {
        "head": head, "seed": seed, "accuracy": round(found["accuracy"], 4),
        "miou": round(found["miou"], 4) if "miou" in found else "",
        "pixel_error": round(found["pixel_error"], 3) if "pixel_error" in found else "",
        **blind(head, clips), "parameters": run.metrics["parameters"], "steps": run.metrics["steps"],
        "firing_rate": round(run.metrics["firing_rate"], 4), "seconds": round(run.metrics["seconds"]),
    }  # fmt: skip


def blind(head: str, clips: VideoSet) -> dict[str, Any]:
    """The figures of who does not look: the best constant answer that the training clips give."""
    taught = moving_shapes("train")
    if head == "video":
        share = float((clips.labels == taught.labels.mode().values).float().mean())
        return {"blind_accuracy": round(share, 4), "blind_miou": "", "blind_pixel_error": ""}
    if head == "segment":
        masks = clips.masks.movedim(1, 0).long()
        logits = torch.zeros(*masks.shape[:2], len(clips.mask_names), *masks.shape[2:])
        logits[:, :, int(taught.masks.flatten().mode().values)] = 1
        counts = segment.confusion(logits, masks)
        share = float(counts.diagonal().sum() / counts.sum())
        return {
            "blind_accuracy": round(share, 4),
            "blind_miou": round(segment.mean_iou(counts), 4),
            "blind_pixel_error": "",
        }
    targets = clips.points.movedim(1, 0)
    middle = taught.points.mean((0, 1)).expand(targets.shape)
    share = float(pose.found(middle, targets).float().mean())
    error = float(pose.distances(middle, targets).mean()) * clips.frames.shape[-1]
    return {"blind_accuracy": round(share, 4), "blind_miou": "", "blind_pixel_error": round(error, 3)}


class DenseVideo(nn.Module):
    """Convolutions with ReLU, each behind a delta activation, frame by frame: (T, B, 1, H, W) to (T, B, 5, H, W)."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        shapes = ((1, 8, 3, 1), (8, 16, 3, 2), (16, 16, 3, 1), (16, 20, 3, 1))
        self.layers = nn.ModuleList(
            DeltaLayer(nn.Conv2d(a, b, k, s, k // 2), threshold) for a, b, k, s in shapes
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits a pixel."""
        for i, layer in enumerate(self.layers):
            x = layer(x.relu() if i else x)
        return nn.functional.pixel_shuffle(x, 2)


def send(threshold: float, weight: float, seed: int) -> dict[str, Any]:
    """Train at that threshold, and count on the test split."""
    torch.manual_seed(seed)
    clips, model = moving_shapes("train", clips=CLIPS), DenseVideo(threshold)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    model.train()
    for _ in range(DELTA_EPOCHS):
        for chosen in torch.randperm(len(clips)).split(16):
            with record_deltas(model) as seen:
                logits = model(as_frames(clips.frames[chosen]))
            masks = clips.masks[chosen].movedim(1, 0).long()
            loss = segment.loss(logits, masks) + weight * seen.loss()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with record_deltas(model) as seen:
        found = evaluate_video(model, moving_shapes("test"), "segment")
    hidden = [count for path, count in seen.layers.items() if not path.startswith("layers.0.")]
    active, sent = (sum(getattr(count, what) for count in hidden) for what in ("activations", "changes"))
    values = sum(count.values for count in hidden)
    return {
        "miou": round(found["miou"], 4), "accuracy": round(found["accuracy"], 4),
        "hidden_activations": round(active / values, 4), "hidden_changes": round(sent / values, 4),
        "hidden_fewer": round(active / max(1, sent), 2), "fewer": round(seen.sparser(), 2),
    }  # fmt: skip


if __name__ == "__main__":
    main()
