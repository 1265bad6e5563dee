"""How good predicted optical flow is, over clips whose flow is known."""

from __future__ import annotations

import torch
from torch import nn

from spikedrive.errors import DataError
from spikedrive.tasks import flow
from spikedrive.training.prepare.flow import FlowPart


@torch.no_grad()
def evaluate_flow(
    model: nn.Module, clips: FlowPart, *, batch_size: int = 16, rank: int = 0, world: int = 1
) -> dict[str, float]:
    """`tasks.flow.averages` over all steps of all clips where a pixel sent an event, and the number of clips judged.

    The model is left in the mode in which it came. With `world` processes each looks at its share.

    *Units*: `aee` and `still`, the error of an answer of zero, in pixels per step, `angle` in degrees.
    *Raises*: DataError for no clips.
    """
    if not len(clips):
        raise DataError("There are no clips to judge on; at least one is taken. Check the split.")
    training, device = model.training, next(model.parameters()).device
    model.eval()
    found, count = [], 0
    try:
        for first in range(rank * batch_size, len(clips), world * batch_size):
            chosen = range(first, min(first + batch_size, len(clips)))
            x, truth = (part.to(device) for part in clips.read(chosen))
            found.append(flow.figures(model(x), truth[:, :, :2], truth[:, :, 2] > 0))
            count += len(chosen)
    finally:
        model.train(training)
    empty = {"places": 0.0, "aee": 0.0, "angle": 0.0, "outliers": 0.0, "still": 0.0}
    return {**flow.averages(found or [empty]), "clips": count}
