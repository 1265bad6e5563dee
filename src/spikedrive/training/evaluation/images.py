"""How good a model is on labelled images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.data import ImageSet, batches
from spikedrive.data.transforms import normalise
from spikedrive.errors import ConfigError, DataError, ValueRangeError
from spikedrive.tasks import classify


@torch.no_grad()
def evaluate(
    model: nn.Module,
    images: ImageSet,
    *,
    batch_size: int = 256,
    mean: Sequence[float],
    std: Sequence[float],
    rank: int = 0,
    world: int = 1,
) -> dict[str, Any]:
    """Accuracy (0 to 1), loss, logits, predictions and labels of a model in eval mode, without gradients.

    The model is left in the mode in which it came. With `world` processes each looks at its share.

    *Shapes*: logits (N, K), predictions (N,), labels (N,), all on the CPU.
    *Units*: loss in nats per image.
    *Raises*: DataError for no images; ConfigError for more classes than logits; ValueRangeError for NaN logits.
    """
    if not len(images):
        raise DataError("evaluate got no images; it takes at least one. Check the split, or the folder.")
    was_training = model.training
    model.eval()
    answers, order, labels = [], [], []
    try:
        for which, x, label in normalised_batches(
            model, images, batch_size, mean=mean, std=std, rank=rank, world=world
        ):
            answer = classify.logits(model(x))[: len(which)].cpu()
            answers.append(answer if answer.dtype == torch.float64 else answer.float())
            order.append(which)
            labels.append(label)
    finally:
        model.train(was_training)
    return _result(torch.cat(answers), torch.cat(labels), torch.cat(order), len(images.class_names))


def normalised_batches(
    model: nn.Module,
    images: ImageSet,
    batch_size: int,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    rank: int = 0,
    world: int = 1,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Indices, pictures as the model takes them, and labels of this process's share, in order.

    A process without images of a batch gets one picture and no index.

    *Shapes*: (n,), (max(1, n), C, H, W), (n,).
    """
    weight = next(model.parameters())
    last = is_channels_last(model)
    for which, pixels, label in batches(images, batch_size, rank=rank, world=world):
        if not len(which):
            # a sharded model answers on all processes at once or not at all
            pixels = images.images[:1]
        x = normalise(pixels.to(weight.device, non_blocking=True), mean, std)
        x = x.to(weight.dtype) if weight.dtype == torch.float64 else x
        yield which, x.contiguous(memory_format=torch.channels_last) if last else x, label


def is_channels_last(model: nn.Module) -> bool:
    """Whether the convolutions' weights lie in memory with their channels last."""
    return any(
        p.dim() == 4 and p.is_contiguous(memory_format=torch.channels_last) and not p.is_contiguous()
        for p in model.parameters()
    )


def _result(logits: Tensor, labels: Tensor, indices: Tensor, classes: int) -> dict[str, Any]:
    if logits.shape[1] < classes:
        raise ConfigError(
            f"evaluate got images of {classes} classes for a model with {logits.shape[1]} logits; it takes at most as "
            "many classes as logits. Evaluate on the data that the model was trained for."
        )
    if not bool(torch.isfinite(logits).all()):
        first = int(indices[~torch.isfinite(logits).all(1)][0])
        raise ValueRangeError(
            f"The model answers image {first} with NaN or infinity; only finite logits can be judged. "
            "Check the checkpoint (load the last good one) and the mean and std."
        )
    predictions = logits.argmax(1)
    return {
        "accuracy": float((predictions == labels).sum()) / max(1, len(labels)),
        "loss": float(classify.loss(logits, labels)) if len(labels) else 0.0,
        "logits": logits,
        "predictions": predictions,
        "labels": labels,
        "indices": indices,
    }
