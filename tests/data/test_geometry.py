"""Crop, flip and erase against loops over single images."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from spikedrive.data import generator
from spikedrive.data.transforms import (
    Compose,
    RandomCrop,
    RandomErase,
    RandomHorizontalFlip,
    RandomResizedCrop,
    normalise,
)
from spikedrive.data.transforms.geometry import crop, erase, rectangles
from spikedrive.errors import ConfigError, DtypeError, ShapeError


def bytes_of(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator(seed))


sizes = st.tuples(st.integers(0, 5), st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9))
dtypes = st.sampled_from([torch.uint8, torch.float32, torch.float64])


@settings(deadline=None, max_examples=60)
@given(
    shape=sizes, padding=st.integers(0, 4), fill=st.integers(0, 255), dtype=dtypes, seed=st.integers(0, 99)
)
def test_crop_is_the_loop_over_images(shape, padding, fill, dtype, seed):
    images = bytes_of(*shape, seed=seed).to(dtype)
    top, left = torch.randint(2 * padding + 1, (2, shape[0]), generator=generator(seed))
    result = crop(images, top, left, padding, fill)
    assert result.dtype == dtype and result.shape == images.shape
    for image, got, y, x in zip(images, result, top.tolist(), left.tolist(), strict=True):
        padded = F.pad(image, (padding,) * 4, value=fill)
        assert torch.equal(got, padded[:, y : y + shape[2], x : x + shape[3]])


@settings(deadline=None, max_examples=60)
@given(shape=sizes, dtype=dtypes, seed=st.integers(0, 99))
def test_erase_is_the_loop_over_images(shape, dtype, seed):
    images = bytes_of(*shape, seed=seed).to(dtype)
    boxes = RandomErase(0.7).boxes(torch.rand(5, shape[0], generator=generator(seed)), shape[2], shape[3])
    noise = bytes_of(*shape, seed=seed + 1).to(dtype)
    expected, noisy = images.clone(), images.clone()
    for i, (top, bottom, left, right) in enumerate(boxes.T.tolist()):
        assert 0 <= top <= bottom <= shape[2] and 0 <= left <= right <= shape[3]
        expected[i, :, top:bottom, left:right] = 9
        noisy[i, :, top:bottom, left:right] = noise[i, :, top:bottom, left:right]
    assert torch.equal(erase(images, boxes, 9), expected)
    assert torch.equal(erase(images, boxes, noise), noisy)


def test_random_crop_reaches_every_corner_and_no_further():
    images = torch.zeros(400, 1, 9, 9, dtype=torch.uint8)
    images[:, :, 4, 4] = 1
    places = torch.nonzero(RandomCrop(2)(images, generator(0)))[:, 2:]
    assert len(places) == 400
    assert {tuple(p) for p in places.tolist()} == {(y, x) for y in range(2, 7) for x in range(2, 7)}


def test_flip_mirrors_about_half_of_the_images():
    images = bytes_of(1000, 1, 3, 4)
    flipped = RandomHorizontalFlip()(images, generator(1))
    mirrored = (flipped == images.flip(-1)).flatten(1).all(1)
    assert ((flipped == images).flatten(1).all(1) | mirrored).all()
    assert 430 < mirrored.sum() < 570
    assert torch.equal(RandomHorizontalFlip(0.0)(images, generator(1)), images)
    assert torch.equal(RandomHorizontalFlip(1.0)(images, generator(1)), images.flip(-1))


def test_erased_areas_and_ratios_lie_in_their_ranges():
    boxes = RandomErase(0.5, area=(0.04, 0.2), ratio=(0.5, 2.0)).boxes(torch.rand(5, 4000), 64, 64)
    tall, wide = (boxes[1] - boxes[0]).double(), (boxes[3] - boxes[2]).double()
    erased = tall > 0
    assert 1850 < erased.sum() < 2150
    area, ratio = (tall * wide / 64**2)[erased], (tall / wide)[erased]
    assert area.min() > 0.03 and area.max() < 0.22 and abs(area.mean() - 0.12) < 0.005
    assert ratio.min() > 0.45 and ratio.max() < 2.2 and abs(ratio.log().mean()) < 0.03


@pytest.mark.parametrize("images", [bytes_of(64, 1, 8, 8), torch.randn(64, 1, 8, 8)])
def test_noise_fills_the_hole_and_leaves_the_rest(images):
    noisy = RandomErase(1.0, fill=None)(images, generator(0))
    hole = RandomErase(1.0, fill=0.0)
    kept = hole(torch.ones_like(images), generator(0)) == 1
    assert torch.equal(noisy[kept], images[kept]) and noisy.dtype == images.dtype
    assert (noisy[~kept] != images[~kept]).float().mean() > 0.95


def test_rectangles_lie_in_the_image_and_in_their_ranges():
    boxes = rectangles(torch.rand(4, 4000), 96, 64, (0.1, 0.3), (0.8, 1.25))
    tall, wide = (boxes[1] - boxes[0]).double(), (boxes[3] - boxes[2]).double()
    area, ratio = tall * wide / (96 * 64), wide / tall
    assert area.min() > 0.09 and area.max() < 0.31 and abs(area.mean() - 0.2) < 0.005
    assert ratio.min() > 0.75 and ratio.max() < 1.33 and abs(ratio.log().mean()) < 0.01
    assert boxes[0].min() == 0 and boxes[1].max() == 96 and boxes[2].min() == 0 and boxes[3].max() == 64
    # one that does not fit is cut to the image
    tall_one = rectangles(torch.full((4, 1), 0.999), 10, 40, (1.0, 1.0), (0.25, 0.25))
    assert tall_one.flatten().tolist() == [0, 10, 30, 40]


def test_a_resized_crop_is_the_loop_over_images():
    images = bytes_of(5, 3, 20, 24)
    result = RandomResizedCrop(8)(images, generator(3))
    boxes = rectangles(torch.rand(4, 5, generator=generator(3)), 20, 24, (0.08, 1.0), (3 / 4, 4 / 3))
    for image, got, (top, bottom, left, right) in zip(images, result, boxes.T.tolist(), strict=True):
        part = image[None, :, top:bottom, left:right].float()
        smooth = F.interpolate(part, (8, 8), mode="bicubic", antialias=True)[0]
        assert (got.float() - smooth.clamp(0, 255)).abs().max() <= 0.5 + 1e-4
    assert result.dtype == torch.uint8 and RandomResizedCrop(8)(images[:0], generator(0)).shape == (
        0,
        3,
        8,
        8,
    )
    # the whole of a square is the square
    whole = RandomResizedCrop(20, area=(1.0, 1.0), ratio=(1.0, 1.0))
    assert torch.equal(whole(images[..., :20], generator(0)), images[..., :20])


ALL = [
    RandomCrop(2), RandomHorizontalFlip(), RandomErase(0.5), RandomErase(0.5, fill=None), RandomResizedCrop(7),
]  # fmt: skip


@pytest.mark.parametrize("transform", [*ALL, Compose(ALL)])
def test_transforms_draw_from_their_generator_alone(transform):
    images = bytes_of(16, 3, 10, 12)
    before = images.clone()
    first = transform(images, generator(4))
    torch.manual_seed(99)
    assert torch.equal(transform(images, generator(4)), first)
    assert not torch.equal(transform(images, generator(5)), first)
    assert torch.equal(images, before)


@pytest.mark.parametrize("transform", ALL)
def test_the_values_of_images_change_no_later_draw(transform):
    one, two = generator(0), generator(0)
    transform(bytes_of(8, 1, 6, 6), one)
    transform(torch.zeros(8, 1, 6, 6, dtype=torch.uint8), two)
    assert torch.equal(torch.rand(3, generator=one), torch.rand(3, generator=two))


@pytest.mark.parametrize("transform", ALL)
def test_what_is_no_batch_of_images_is_refused(transform):
    with pytest.raises(ShapeError, match=r"got images of shape \(1, 8, 8\); it takes a batch"):
        transform(torch.zeros(1, 8, 8), generator(0))
    with pytest.raises(DtypeError, match=r"got images of torch\.int64; it takes torch\.uint8 or floats"):
        transform(torch.zeros(1, 1, 8, 8, dtype=torch.int64), generator(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomCrop(-1), "padding=-1"),
        (lambda: RandomHorizontalFlip(1.5), "probability=1.5; it takes a number from 0 to 1"),
        (lambda: RandomErase(float("nan")), "probability=nan"),
        (lambda: RandomErase(area=(0.5, 0.2)), "two rising shares"),
        (lambda: RandomErase(ratio=(0.0, 1.0)), "two rising positive ratios"),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_normalise_is_its_equation():
    images = bytes_of(4, 3, 5, 6)
    mean, std = [0.5, 0.25, 0.1], [0.2, 0.3, 0.4]
    result = normalise(images, mean, std)
    assert result.dtype == torch.float32
    for c in range(3):
        assert torch.allclose(
            result[:, c].double(), (images[:, c].double() / 255 - mean[c]) / std[c], atol=1e-6
        )
    double = normalise(images, mean, std, torch.float64)
    assert torch.equal(double[:, 1], (images[:, 1].double() / 255 - 0.25) / 0.3)


def test_normalise_refuses_what_does_not_fit():
    with pytest.raises(DtypeError, match=r"normalise got torch\.float32; it takes torch\.uint8"):
        normalise(torch.zeros(1, 1, 2, 2), [0.0], [1.0])
    with pytest.raises(ShapeError, match="got 1 means and 1 deviations for images"):
        normalise(bytes_of(1, 3, 2, 2), [0.0], [1.0])
