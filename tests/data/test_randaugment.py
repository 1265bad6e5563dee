"""RandAugment: every operation against Pillow, one image at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from spikedrive.data import generator
from spikedrive.data.transforms import RandAugment, pixels
from spikedrive.data.transforms.randaugment import operations
from spikedrive.errors import ConfigError, ShapeError

LEVELS = torch.tensor([-1.0, -0.63, -0.3, 0.0, 0.2, 0.5, 0.77, 1.0])


def photos(channels: int, height: int = 17, width: int = 23, seed: int = 0) -> Tensor:
    """Smooth images of several contrasts, a flat one, and one of two levels."""
    random = np.random.default_rng(seed)
    ys, xs = np.mgrid[0:height, 0:width]
    made = []
    for _ in LEVELS:
        waves = [np.sin(ys / random.uniform(2, 6) + xs / random.uniform(2, 6) + c) for c in range(channels)]
        made.append(np.stack(waves) * random.uniform(10, 120) + random.uniform(60, 190))
    made[1][:] = 77
    made[2] = np.where(made[2] > made[2].mean(), 200.0, 30.0)
    made[3] = random.uniform(0, 256, made[3].shape)
    return torch.from_numpy(np.stack(made).clip(0, 255).astype(np.uint8))


def by_pillow(change: Callable[[Image.Image, float], Image.Image]) -> Callable[[Tensor, Tensor], Tensor]:
    def each(images: Tensor, level: Tensor) -> Tensor:
        changed = []
        for image, strength in zip(images, level.tolist(), strict=True):
            array = image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy()
            result = np.array(change(Image.fromarray(array), strength))
            changed.append(
                torch.from_numpy(result[None] if result.ndim == 2 else result.transpose(2, 0, 1).copy())
            )
        return torch.stack(changed)

    return each


def affine(image: Image.Image, *matrix: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST)


def turn(image: Image.Image, level: float) -> Image.Image:
    return image.rotate(30 * level, Image.Resampling.NEAREST)


EXACT = {
    "identity": lambda image, level: image,
    "equalise": lambda image, level: ImageOps.equalize(image),
    "solarise": lambda image, level: ImageOps.solarize(image, math.ceil(256 * (1 - abs(level)))),
    "posterise": lambda image, level: ImageOps.posterize(image, 8 - round(4 * abs(level))),
    "colour": lambda image, level: ImageEnhance.Color(image).enhance(1 + 0.9 * level),
    "contrast": lambda image, level: ImageEnhance.Contrast(image).enhance(1 + 0.9 * level),
    "brightness": lambda image, level: ImageEnhance.Brightness(image).enhance(1 + 0.9 * level),
    "translate_x": lambda image, level: affine(image, 1, 0, round(level * 150 / 331 * image.width), 0, 1, 0),
    "translate_y": lambda image, level: affine(image, 1, 0, 0, 0, 1, round(level * 150 / 331 * image.height)),
}
NEARLY = {
    "autocontrast": lambda image, level: ImageOps.autocontrast(image),
    "sharpness": lambda image, level: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * level),
    "rotate": turn,
    "shear_x": lambda image, level: affine(image, 1, 0.3 * level, 0, 0, 1, 0),
    "shear_y": lambda image, level: affine(image, 1, 0, 0, 0.3 * level, 1, 0),
}


def test_there_are_fourteen_and_all_are_compared():
    assert len(operations()) == 14
    assert set(operations()) == set(EXACT) | set(NEARLY)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", EXACT)
def test_an_operation_is_pillows(name, channels):
    images = photos(channels)
    result, expected = operations()[name](images, LEVELS), by_pillow(EXACT[name])(images, LEVELS)
    assert result.dtype == torch.uint8 and torch.equal(result, expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NEARLY)
def test_an_operation_with_other_roundings_is_nearly_pillows(name, channels):
    images = photos(channels)
    result, expected = operations()[name](images, LEVELS), by_pillow(NEARLY[name])(images, LEVELS)
    difference = (result.int() - expected.int()).abs()
    if name in ("sharpness", "autocontrast"):
        assert difference.max() <= 1
    else:
        assert (difference > 0).float().mean() < 0.01


@settings(deadline=None, max_examples=40)
@given(
    levels=st.lists(st.integers(0, 255), min_size=1, max_size=60),
    width=st.integers(1, 40),
)
def test_equalise_and_autocontrast_are_pillows_on_odd_histograms(levels, width):
    array = np.resize(np.array(levels, np.uint8), (7, width))
    image = torch.from_numpy(array.copy())[None, None]
    picture = Image.fromarray(array)
    assert np.array_equal(pixels.equalise(image)[0, 0], np.array(ImageOps.equalize(picture)))
    low, high = int(array.min()), int(array.max())
    stretched = array if low == high else (array.astype(int) - low) * 255 // (high - low)
    assert np.array_equal(pixels.stretch(image)[0, 0], stretched)
    assert np.abs(stretched - np.array(ImageOps.autocontrast(picture)).astype(int)).max() <= 1


@pytest.mark.parametrize("name", sorted(set(operations()) - {"identity", "autocontrast", "equalise"}))
def test_level_zero_leaves_an_image_as_it_is(name):
    images = photos(3)
    assert torch.equal(operations()[name](images, torch.zeros(len(images))), images)


@pytest.mark.parametrize("name", operations())
def test_each_image_is_changed_on_its_own(name):
    images = photos(3)
    whole = operations()[name](images, LEVELS)
    for i in range(len(images)):
        assert torch.equal(operations()[name](images[i : i + 1], LEVELS[i : i + 1])[0], whole[i])


def test_what_comes_from_outside_is_the_fill():
    images = torch.full((1, 1, 331, 331), 9, dtype=torch.uint8)
    moved = operations(fill=128)["translate_x"](images, torch.ones(1))
    assert (moved[..., :181] == 9).all() and (moved[..., 181:] == 128).all()


@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (1, 3, 1, 1), (2, 1, 2, 9), (6, 3, 8, 5)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_odd_sizes_keep_shape_and_type(shape, dtype):
    images = torch.randint(256, shape, dtype=torch.uint8)
    images = images if dtype == torch.uint8 else images / 255
    result = RandAugment(14, 30)(images, generator(0))
    assert result.shape == shape and result.dtype == dtype


def test_randaugment_draws_from_its_generator_alone():
    images = photos(3).repeat(4, 1, 1, 1)
    before = images.clone()
    first = RandAugment(2, 9, spread=0.5)(images, generator(1))
    torch.manual_seed(3)
    assert torch.equal(RandAugment(2, 9, spread=0.5)(images, generator(1)), first)
    assert not torch.equal(RandAugment(2, 9, spread=0.5)(images, generator(2)), first)
    assert torch.equal(images, before)


def test_floats_are_augmented_as_their_bytes():
    images = photos(3)
    result = RandAugment(2, 9)(images / 255, generator(1))
    assert torch.equal(result, RandAugment(2, 9)(images, generator(1)) / 255)


def test_all_operations_are_drawn_with_both_signs():
    chosen, level = RandAugment(1, 15).draw(4200, generator(0), torch.device("cpu"))
    counts = chosen.bincount(minlength=14)
    assert counts.min() > 230 and counts.max() < 370
    assert set(level.tolist()) == {0.5, -0.5} and 1950 < (level > 0).sum() < 2250


def test_operations_act_with_their_probability():
    never, half = RandAugment(2, 20, probability=0.0), RandAugment(1, 20, probability=0.5)
    images = photos(3)
    assert torch.equal(never(images, generator(0)), images)
    chosen, _ = half.draw(4000, generator(0), torch.device("cpu"))
    # the first of fourteen is drawn for a fourteenth of the other half
    assert float((chosen == 0).float().mean()) == pytest.approx(0.5 + 0.5 / 14, abs=0.03)
    with pytest.raises(ConfigError, match=r"RandAugment got probability=1\.5"):
        RandAugment(probability=1.5)


def test_the_spread_varies_the_magnitude_within_its_limits():
    level = RandAugment(1, 29, spread=3.0).draw(2000, generator(0), torch.device("cpu"))[1].abs() * 30
    assert 26 < level.mean() < 29 and level.std() > 1 and level.max() == 30


def test_no_operations_leave_the_images():
    images = photos(1)
    assert torch.equal(RandAugment(0)(images, generator(0)), images)


@pytest.mark.parametrize("how", [{"count": -1}, {"magnitude": 31}, {"spread": -0.1}, {"fill": 256}])
def test_arguments_out_of_range_are_refused(how):
    with pytest.raises(ConfigError, match=r"RandAugment got .*a magnitude from 0 to 30"):
        RandAugment(**how)


def test_what_is_no_batch_is_refused():
    with pytest.raises(ShapeError, match="RandAugment got images of shape"):
        RandAugment()(torch.zeros(8, 8), generator(0))
