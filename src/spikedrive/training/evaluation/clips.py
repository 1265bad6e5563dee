"""How good a model is on labelled clips of events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from spikedrive.errors import ConfigError, DataError
from spikedrive.tasks import classify

Clip = TypeVar("Clip")
Seen = TypeVar("Seen", covariant=True)
Read = TypeVar("Read", contravariant=True)


class LabelledClips(Protocol[Seen]):
    """Clips of one camera or two, as `EventSet` and `PairedSet` are."""

    @property
    def labels(self) -> Tensor: ...

    @property
    def class_names(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Seen: ...


class Reads(Protocol[Read]):
    """From such clips to what a model takes."""

    def __call__(self, clips: Sequence[Read], /) -> Tensor: ...


@torch.no_grad()
def evaluate_clips(
    model: nn.Module,
    clips: LabelledClips[Clip],
    reader: Reads[Clip],
    *,
    batch_size: int = 64,
    rank: int = 0,
    world: int = 1,
) -> dict[str, float]:
    """Loss, accuracy (0 to 1) and the number of clips judged, in eval mode.

    The model is left in the mode in which it came. With `world` processes each looks at its share.

    *Units*: loss in nats a clip.
    *Raises*: DataError for no clips; ConfigError for clips of more classes than the model has logits.
    """
    classes = getattr(model, "classes", len(clips.class_names))
    if len(clips.class_names) > classes:
        raise ConfigError(
            f"evaluate_clips got clips of {len(clips.class_names)} classes for a model with {classes} logits; it takes "
            "at most as many. Evaluate on the data that the model was trained for."
        )
    training, device = model.training, next(model.parameters()).device
    model.eval()
    total, right, count = 0.0, 0, 0
    try:
        for x, labels in read_batches(clips, reader, batch_size, rank=rank, world=world):
            answer, wanted = classify.logits(model(x.to(device))), labels.to(device)
            total += float(classify.loss(answer, wanted)) * len(labels)
            right += int(classify.correct(answer, wanted))
            count += len(labels)
    finally:
        model.train(training)
    return {"loss": total / max(1, count), "accuracy": right / max(1, count), "clips": count}


def read_batches(
    clips: LabelledClips[Clip], reader: Reads[Clip], batch_size: int, *, rank: int = 0, world: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """What the model takes, and the labels, of this process's share, in order.

    *Shapes*: (T, n, 2, H, W) or (n, N, D), labels (n,).
    *Raises*: DataError for no clips.
    """
    if not len(clips):
        raise DataError(
            "There are no clips to judge on; at least one is taken. Check the split, or the folder."
        )
    for first in range(rank * batch_size, len(clips), world * batch_size):
        chosen = range(first, min(first + batch_size, len(clips)))
        yield reader([clips[i] for i in chosen]), clips.labels[chosen.start : chosen.stop]
