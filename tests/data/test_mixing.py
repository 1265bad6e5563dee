"""Mixup and CutMix: targets follow what was really mixed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikedrive.data import generator
from spikedrive.data.transforms import CutMix, Mixup, OneOf, one_hot
from spikedrive.data.transforms.mixing import cutmix, mixup, rectangle
from spikedrive.errors import ConfigError, DataError, DtypeError, ShapeError

MIXINGS = [Mixup(0.8), CutMix(1.0), OneOf([Mixup(0.2), CutMix()])]


def marked(batch: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Image i is all i, and its target is class i: so an image's mean must be its target's mean class."""
    images = torch.arange(batch, dtype=dtype)[:, None, None, None].expand(-1, 3, 8, 10)
    return images.clone(), torch.eye(batch, dtype=torch.float64)


@settings(deadline=None, max_examples=60)
@given(batch=st.integers(1, 9), which=st.sampled_from(MIXINGS), seed=st.integers(0, 10**6))
def test_targets_weigh_what_the_images_show(batch, which, seed):
    images, targets = marked(batch)
    mixed, weighed = which(images, targets, generator(seed))
    assert mixed.shape == images.shape and mixed.dtype == images.dtype
    assert torch.allclose(weighed.sum(1), torch.ones(batch, dtype=torch.float64))
    shown = mixed.mean((1, 2, 3))
    assert torch.allclose(shown, weighed @ torch.arange(batch, dtype=torch.float64), atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(weight=st.floats(0, 1), seed=st.integers(0, 99))
def test_mixup_is_the_loop_over_images(weight, seed):
    images = torch.randint(256, (5, 1, 4, 4), dtype=torch.uint8, generator=generator(seed))
    targets = one_hot(torch.tensor([0, 1, 2, 1, 0]), 3)
    partner = torch.randperm(5, generator=generator(seed, 1))
    mixed, weighed = mixup(images, targets, partner, weight)
    assert mixed.dtype == torch.uint8
    for i, j in enumerate(partner.tolist()):
        blend = weight * images[i].double() + (1 - weight) * images[j].double()
        assert (mixed[i].double() - blend).abs().max() <= 0.5 + 1e-4
        assert torch.allclose(weighed[i], weight * targets[i] + (1 - weight) * targets[j], atol=1e-6)


def test_cutmix_is_the_loop_over_images():
    images = torch.randint(256, (5, 3, 6, 7), dtype=torch.uint8)
    targets = one_hot(torch.arange(5), 5)
    partner = torch.tensor([1, 2, 3, 4, 0])
    mixed, weighed = cutmix(images, targets, partner, (1, 4, 2, 7))
    for i, j in enumerate(partner.tolist()):
        expected = images[i].clone()
        expected[:, 1:4, 2:7] = images[j, :, 1:4, 2:7]
        assert torch.equal(mixed[i], expected)
        assert weighed[i, j] == pytest.approx(15 / 42)


@settings(deadline=None, max_examples=100)
@given(
    weight=st.floats(0, 1), centre=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    height=st.integers(1, 40), width=st.integers(1, 40),
)  # fmt: skip
def test_a_rectangle_lies_in_the_image(weight, centre, height, width):
    top, bottom, left, right = rectangle(weight, centre, height, width)
    assert 0 <= top <= bottom <= height and 0 <= left <= right <= width
    assert (bottom - top) * (right - left) <= (1 - weight) * height * width + height + width + 1


def test_the_weights_are_those_of_the_beta_distribution():
    images, targets = marked(2)
    weights = []
    for seed in range(400):
        weighed = Mixup(0.4)(images, targets, generator(seed))[1]
        weights.append(float(weighed[0, 0]))
    weight = torch.tensor(weights)
    mixed = weight[weight < 1]
    # a permutation of two leaves each image with itself half of the time
    assert 150 < len(mixed) < 250
    assert abs(mixed.mean() - 0.5) < 0.08 and abs(mixed.var() - 1 / (4 * 1.8)) < 0.035


@pytest.mark.parametrize("which", MIXINGS)
def test_mixing_draws_from_its_generator_alone(which):
    images, targets = marked(6)
    before = images.clone()
    first = which(images, targets, generator(2))
    torch.manual_seed(5)
    again = which(images, targets, generator(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(images, before) and torch.equal(targets, torch.eye(6))


@pytest.mark.parametrize("which", [Mixup(1.0, 0.0), CutMix(1.0, 0.0)])
def test_probability_zero_changes_nothing(which):
    images, targets = marked(6)
    assert which(images, targets, generator(2)) == (images, targets)


def test_one_of_takes_every_mixing_sometimes():
    images, targets = marked(6)
    both = OneOf([Mixup(1.0), CutMix(1.0)])
    blended = [bool((both(images, targets, generator(s))[0] % 1 != 0).any()) for s in range(60)]
    assert 15 < sum(blended) < 45


def test_one_hot_refuses_labels_out_of_range():
    assert one_hot(torch.tensor([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    with pytest.raises(DataError, match="labels from 0 to 3 for 3 classes; 0 to 2 is accepted"):
        one_hot(torch.tensor([0, 3]), 3)


@pytest.mark.parametrize("which", MIXINGS[:2])
def test_what_does_not_fit_is_refused(which):
    images, targets = marked(4)
    with pytest.raises(ShapeError, match=r"targets of shape \(4,\) for 4 images"):
        which(images, torch.arange(4), generator(0))
    with pytest.raises(DtypeError, match=r"targets of torch\.int64; it takes floats"):
        which(images, targets.long(), generator(0))
    with pytest.raises(ShapeError, match="takes a batch"):
        which(images[0], targets, generator(0))
    with pytest.raises(ConfigError, match="alpha=0; it takes a number above 0"):
        type(which)(0)
    with pytest.raises(ConfigError, match="probability=2"):
        type(which)(0.5, 2)


def test_one_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="OneOf got no mixings"):
        OneOf([])
