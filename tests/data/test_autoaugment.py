"""AutoAugment: which operations it draws, how often and how strongly."""

from __future__ import annotations

import pytest
import torch

from spikedrive.data import generator
from spikedrive.data.transforms import AutoAugment
from spikedrive.data.transforms.autoaugment import POLICY
from spikedrive.data.transforms.randaugment import operations
from spikedrive.errors import ConfigError, DtypeError

CPU = torch.device("cpu")


def pictures(count: int, channels: int = 3) -> torch.Tensor:
    # even sides: no centre of a pixel falls on a border when an image turns by 30 degrees
    shape = (count, channels, 12, 18)
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_pairs_are_drawn_alike_and_their_operations_with_their_own_probability():
    augment = AutoAugment()
    names = list(augment.operations)
    chosen, _ = augment.draw(50_000, generator(0), CPU)
    for place in range(2):
        wanted = dict.fromkeys(names, 0.0)
        for pair in POLICY:
            name, tenths, _ = pair[place]
            wanted[name] += tenths / 10 / len(POLICY)
        shares = chosen[:, place].bincount(minlength=len(names)) / len(chosen)
        for number, name in enumerate(names[1:], 1):
            assert float(shares[number]) == pytest.approx(wanted[name], abs=0.01)


def test_operations_of_a_pair_come_with_its_magnitudes_and_both_signs():
    augment = AutoAugment()
    names = list(augment.operations)
    chosen, level = augment.draw(50_000, generator(1), CPU)
    both = (chosen == torch.tensor([names.index("posterise"), names.index("rotate")])).all(1)
    seen = {tuple(round(9 * value) for value in pair) for pair in level[both].tolist()}
    assert seen == {(a, b) for a in (8, -8) for b in (9, -9)}


def test_each_picture_is_what_its_own_operations_make_of_it():
    images = pictures(64)
    augment = AutoAugment(fill=7)
    result = augment(images, generator(3))
    chosen, level = augment.draw(64, generator(3), CPU)
    known = list(operations(7).values())
    for i in range(64):
        wanted = images[i : i + 1]
        for place in range(2):
            number = int(chosen[i, place])
            turn = level[i : i + 1, place]
            wanted = known[number](wanted, turn) if number < len(known) else 255 - wanted
        assert torch.equal(result[i : i + 1], wanted)


@pytest.mark.parametrize("channels", [1, 3])
def test_floats_are_augmented_as_their_bytes(channels):
    images = pictures(8, channels)
    result = AutoAugment()(images / 255, generator(1))
    assert torch.equal(result, AutoAugment()(images, generator(1)) / 255)


def test_the_input_stays_and_an_empty_batch_is_taken():
    images = pictures(16)
    before = images.clone()
    assert not torch.equal(AutoAugment()(images, generator(0)), images)
    assert torch.equal(images, before)
    assert AutoAugment()(images[:0], generator(0)).shape == (0, 3, 12, 18)


def test_what_it_does_not_take():
    with pytest.raises(ConfigError, match=r"AutoAugment got fill=256; it takes a level from 0 to 255"):
        AutoAugment(fill=256)
    with pytest.raises(DtypeError, match=r"AutoAugment got images of torch\.int64"):
        AutoAugment()(pictures(1).long(), generator(0))
