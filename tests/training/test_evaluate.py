"""Accuracy and loss on labelled images."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from spikedrive.data import ImageSet
from spikedrive.errors import ConfigError, DataError, ValueRangeError
from spikedrive.training import evaluate

IMAGES = ImageSet(
    torch.randint(0, 256, (11, 1, 4, 4), dtype=torch.uint8), torch.arange(11) % 3, ("a", "b", "c")
)


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_it_judges_every_image_once_and_in_order(batch_size: int) -> None:
    model = linear()
    result = evaluate(model, IMAGES, batch_size=batch_size, mean=[0.5], std=[0.25])
    logits = model(((IMAGES.images[:] / 255) - 0.5) / 0.25).detach()
    assert torch.allclose(result["logits"], logits, atol=1e-5)
    assert result["loss"] == pytest.approx(float(F.cross_entropy(logits, IMAGES.labels)), abs=1e-5)
    assert result["accuracy"] == int((logits.argmax(1) == IMAGES.labels).sum()) / len(IMAGES)
    assert torch.equal(result["predictions"], logits.argmax(1)) and torch.equal(
        result["labels"], IMAGES.labels
    )


def test_shares_of_several_processes_make_the_whole() -> None:
    model = linear()
    whole = evaluate(model, IMAGES, mean=[0.5], std=[0.25])
    shares = [
        evaluate(model, IMAGES, batch_size=2, mean=[0.5], std=[0.25], rank=r, world=3) for r in range(3)
    ]
    order = torch.cat([share["indices"] for share in shares])
    assert sorted(order.tolist()) == list(range(11))
    assert torch.allclose(torch.cat([share["logits"] for share in shares]), whole["logits"][order], atol=1e-6)


def test_the_model_keeps_its_mode_and_its_statistics() -> None:
    model = nn.Sequential(nn.BatchNorm2d(1), linear()).train()
    evaluate(model, IMAGES, mean=[0.5], std=[0.25])
    assert model.training and int(model[0].num_batches_tracked) == 0


def test_what_cannot_be_judged_is_named() -> None:
    with pytest.raises(DataError, match="evaluate got no images; it takes at least one"):
        evaluate(linear(), IMAGES.subset(torch.tensor([], dtype=torch.long)), mean=[0.5], std=[0.25])
    with pytest.raises(ConfigError, match="images of 3 classes for a model with 2 logits"):
        evaluate(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), IMAGES, mean=[0.5], std=[0.25])
    model = linear()
    model[1].bias.data.fill_(torch.nan)
    with pytest.raises(
        ValueRangeError, match="answers image 0 with NaN or infinity; only finite logits can be judged"
    ):
        evaluate(model, IMAGES, mean=[0.5], std=[0.25])
