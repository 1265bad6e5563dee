"""ImageSet: what fits together, and splitting."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikedrive.data import ImageSet
from spikedrive.errors import ConfigError, DataError, DtypeError, ShapeError

NAMES = ("a", "b", "c", "d")


def numbered(labels: list[int]) -> ImageSet:
    images = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2)
    return ImageSet(images, torch.tensor(labels, dtype=torch.int64), NAMES)


@settings(deadline=None, max_examples=60)
@given(
    labels=st.lists(st.integers(0, 3), max_size=60),
    fraction=st.floats(0, 0.99),
    seed=st.integers(0, 2**40),
)
def test_a_split_is_disjoint_whole_balanced_and_repeatable(labels, fraction, seed):
    images = numbered(labels)
    first, second = images.split(fraction, seed)
    numbers = [part.images[:, 0, 0, 0].tolist() for part in (first, second)]
    assert sorted(numbers[0] + numbers[1]) == list(range(len(labels)))
    assert all(part == sorted(part) for part in numbers)
    for label in range(4):
        members, held = labels.count(label), second.labels.tolist().count(label)
        assert held == (max(round(fraction * members), 1) if fraction and members > 1 else 0)
    again = images.split(fraction, seed)[1]
    assert torch.equal(again.images, second.images) and torch.equal(again.labels, second.labels)


def test_another_seed_gives_another_split():
    images = numbered([0] * 50 + [1] * 50)
    assert not torch.equal(images.split(0.5, 0)[0].images, images.split(0.5, 1)[0].images)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ConfigError, match="split got fraction="):
        numbered([0, 1]).split(fraction)


def test_subset_takes_images_and_labels_together():
    part = numbered([3, 2, 1, 0]).subset(torch.tensor([2, 0]))
    assert part.images[:, 0, 0, 0].tolist() == [2, 0] and part.labels.tolist() == [1, 3]


def test_statistics_are_those_of_the_pixels():
    images = torch.randint(256, (300, 3, 5, 4), dtype=torch.uint8)
    images[:, 2] = 7
    mean, deviation = ImageSet(images, torch.zeros(300, dtype=torch.int64), ("a",)).statistics()
    scaled = images.double() / 255
    assert mean == pytest.approx(scaled.mean((0, 2, 3)).tolist())
    assert deviation == pytest.approx([*scaled.std((0, 2, 3), correction=0)[:2].tolist(), 1.0])


def test_statistics_read_no_more_than_the_limit():
    images = torch.zeros(10, 1, 2, 2, dtype=torch.uint8)
    images[1::2] = 255
    # every second image: the black ones
    assert ImageSet(images, torch.zeros(10, dtype=torch.int64), ("a",)).statistics(5) == ([0.0], [1.0])


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        (torch.zeros(2, 4, 4, dtype=torch.uint8), torch.zeros(2).long(), ShapeError, r"takes \(N, C, H, W\)"),
        (torch.zeros(2, 1, 4, 4), torch.zeros(2).long(), DtypeError, r"float32; it takes torch\.uint8"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(2), DtypeError, r"takes torch\.int64"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3).long(), ShapeError, "one label an image"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 4]), DataError, "out of range, 0 to 3"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, -1]), DataError, "run from -1 to 0"),
    ],
)
def test_parts_that_do_not_fit_are_refused(images, labels, error, message):
    with pytest.raises(error, match=message):
        ImageSet(images, labels, NAMES)
