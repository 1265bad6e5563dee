"""The recipe for clips of video."""

from __future__ import annotations

from typing import Literal

from spikedrive.training import Recipe


def video_clips(model: str, data: str, task: Literal["video", "segment", "pose"] = "video") -> Recipe:
    """Any model of frames on any source of `data.video.load_video`; for segment and pose one with heads for every
    frame.

    *Command*: `spikedrive train spike_video_former_nano --task segment --data moving_shapes`.
    *Measured*: benchmarks/results/video_heads.csv, with fewer clips and epochs.
    """
    return Recipe(
        model=model,
        data=data,
        task={"name": task},
        epochs=20,
        batch_size=16,
        lr=3e-3,
        warmup_epochs=1.0,
        weight_decay=0.05,
        clip=5.0,
    )
