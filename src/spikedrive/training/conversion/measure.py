"""What a converted network really does on samples, step by step, against the artificial one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spikedrive.errors import ShapeError
from spikedrive.neurons.neuron import check_count
from spikedrive.state import Stream
from spikedrive.training.conversion.calibrate import Progress, steps_cost
from spikedrive.training.conversion.network import ConvertedNetwork
from spikedrive.training.conversion.results import StepsCost
from spikedrive.training.conversion.trace import in_eval


@torch.no_grad()
def measure(
    ann: nn.Module,
    converted: ConvertedNetwork,
    images: Tensor,
    *,
    steps: Sequence[int] = (),
    batch: int = 32,
    progress: Progress | None = None,
) -> list[StepsCost]:
    """What the network costs on these samples after each of `steps`, all from one run of the longest.

    A network of integers has said all after its one step; there `steps` is left out.

    *Shapes*: images (B, ...).
    *Raises*: ConfigError for steps below 1; ShapeError for no images.
    """
    wanted = sorted({*(steps or (converted.steps,))})
    for count in wanted:
        check_count("measure", "steps", count)
    if not len(images):
        raise ShapeError(
            f"measure got images of shape {tuple(images.shape)}; it takes (B, ...) with B of at least 1. "
            "Give samples that were not calibrated with."
        )
    with in_eval(ann):
        return _measured(ann, converted, images, wanted, batch, progress)


def _measured(
    ann: nn.Module, converted: ConvertedNetwork, images: Tensor, wanted: Sequence[int], batch: int,
    progress: Progress | None,
) -> list[StepsCost]:  # fmt: skip
    exact, answers = [], {count: [] for count in wanted}
    for start in range(0, len(images), batch):
        part = images[start : start + batch]
        exact.append(ann(part))
        stream = Stream(converted)
        for step in range(1, wanted[-1] + 1):
            y = stream(part, steps=1)
            if step in answers:
                answers[step].append(y)
        if progress is not None:
            progress("measure", min(start + batch, len(images)), len(images))
    return [steps_cost(count, torch.cat(exact), torch.cat(answers[count])) for count in wanted]
