"""The order of an epoch, shared out over processes."""

from __future__ import annotations

from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikedrive.data import ImageSet, batches, collate, count_batches, generator
from spikedrive.errors import ConfigError, DataError, ShapeError


def numbered(count: int) -> ImageSet:
    images = (torch.arange(count) % 256).to(torch.uint8)[:, None, None, None]
    return ImageSet(images, torch.arange(count) % 3, ("a", "b", "c"))


def order(images: ImageSet, size: int, **how) -> list[list[int]]:
    return [indices.tolist() for indices, _, _ in batches(images, size, **how)]


@settings(deadline=None, max_examples=80)
@given(
    count=st.integers(0, 70),
    size=st.integers(1, 9),
    world=st.integers(1, 4),
    drop_last=st.booleans(),
    shuffle=st.booleans(),
    seed=st.integers(0, 2**32),
    epoch=st.integers(0, 500),
)
def test_every_image_once_and_ranks_together_are_one_process(
    count, size, world, drop_last, shuffle, seed, epoch
):
    if drop_last and count < size * world:
        drop_last = False
    how = {"seed": seed, "epoch": epoch, "shuffle": shuffle, "drop_last": drop_last}
    images = numbered(count)
    ranks = [order(images, size, rank=rank, world=world, **how) for rank in range(world)]
    assert len({len(rank) for rank in ranks}) == 1
    together = [list(chain(*parts)) for parts in zip(*ranks, strict=True)]
    assert together == order(images, size * world, **how)
    seen = sorted(chain(*together))
    assert len(set(seen)) == len(seen) and set(seen) <= set(range(count))
    assert len(seen) == (count - count % (size * world) if drop_last else count)
    assert all(len(part) <= size for rank in ranks for part in rank)
    assert len(ranks[0]) == count_batches(count, size, world=world, drop_last=drop_last)


def test_images_and_labels_are_those_of_the_indices():
    images = numbered(20)
    for indices, pixels, labels in batches(images, 6, seed=1, epoch=2, shuffle=True):
        assert torch.equal(pixels, images.images[indices]) and torch.equal(labels, images.labels[indices])
        assert pixels.dtype == torch.uint8


def test_the_order_depends_on_seed_and_epoch_alone():
    images = numbered(40)
    how = {"seed": 5, "epoch": 3, "shuffle": True}
    first = order(images, 8, **how)
    torch.manual_seed(123)
    torch.rand(7)
    assert order(images, 8, **how) == first
    assert order(images, 8, seed=5, epoch=4, shuffle=True) != first
    assert order(images, 8, seed=6, epoch=3, shuffle=True) != first
    # neighbours must not meet: (5, 4) and (4, 5) have the same sum
    assert order(images, 8, seed=4, epoch=5, shuffle=True) != order(images, 8, seed=5, epoch=4, shuffle=True)


@pytest.mark.parametrize("start", [0, 1, 3, 5])
def test_start_batch_continues_where_an_epoch_broke_off(start):
    images = numbered(37)
    how = {"seed": 1, "epoch": 1, "shuffle": True}
    assert order(images, 8, start_batch=start, **how) == order(images, 8, **how)[start:]


def test_unshuffled_is_in_order():
    assert order(numbered(5), 2) == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"batch_size": 0}, ConfigError, "batch_size=0"),
        ({"batch_size": 2, "world": 0}, ConfigError, "world=0"),
        ({"batch_size": 2, "rank": 2, "world": 2}, ConfigError, "ranks run from 0"),
        ({"batch_size": 2, "start_batch": 9}, ConfigError, "start_batch=9, and this epoch has 5 batches"),
        (
            {"batch_size": 6, "world": 2, "drop_last": True},
            DataError,
            "one batch takes 12; drop_last leaves none",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(how, error, message):
    with pytest.raises(error, match=message):
        batches(numbered(10), **how)


def test_a_generator_is_addressed():
    draws = {
        at: torch.rand(3, generator=generator(*at)).tolist() for at in [(0,), (1,), (0, 0), (0, 1), (1, 0)]
    }
    assert len({tuple(v) for v in draws.values()}) == len(draws)
    assert torch.rand(3, generator=generator(0, 1)).tolist() == draws[0, 1]
    assert isinstance(generator(-3, 2), torch.Generator)


def test_collate_puts_time_first():
    frames = [torch.randn(5, 2, 4, 4) for _ in range(3)]
    assert torch.equal(collate(frames, "frames")[:, 1], frames[1])
    assert torch.equal(collate(frames, "image")[1], frames[1])


def test_collate_refuses_what_does_not_fit():
    with pytest.raises(
        ShapeError, match=r"shapes \[\(1, 4\), \(2, 4\)\]; it takes at least one, all of one shape"
    ):
        collate([torch.zeros(1, 4), torch.zeros(2, 4)])
    with pytest.raises(ShapeError, match="at least one"):
        collate([])
    with pytest.raises(ConfigError, match="collate got input='video'"):
        collate([torch.zeros(1, 4)], "video")
