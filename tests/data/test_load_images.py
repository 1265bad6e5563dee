"""One function for every source: names, splits, sizes and channels."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from spikedrive.data import list_splits, load_images
from spikedrive.data.fit import cover, fit
from spikedrive.errors import ConfigError, DataError


def test_a_missing_path_lists_what_is_accepted(tmp_path):
    with pytest.raises(
        DataError, match=r"does not exist; accepted are .*fashion_mnist_mini.*idx.*\.npz.*PNG or JPEG"
    ):
        load_images(tmp_path / "nowhere")


def test_a_misspelt_name_lists_what_is_accepted():
    with pytest.raises(
        DataError, match="fashion_mnist_mno does not exist; accepted are the names fashion_mnist"
    ):
        load_images("fashion_mnist_mno")


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "images.csv").write_text("1,2,3\n")
    with pytest.raises(DataError, match=r"images.csv is a file of another kind"):
        load_images(tmp_path / "images.csv")


def test_a_split_that_does_not_exist_lists_those_that_do():
    with pytest.raises(DataError, match="no split 'val'; it has train, test"):
        load_images("fashion_mnist_mini", "val")
    assert list_splits("fashion_mnist_mini") == ("train", "test")


@pytest.mark.parametrize("size", [0, (28, -1)])
def test_a_size_below_one_is_refused(size):
    with pytest.raises(ConfigError, match="pixels of at least 1"):
        load_images("fashion_mnist_mini", size=size)


def test_channels_other_than_gray_and_colour_are_refused():
    with pytest.raises(ConfigError, match="channels is 4; it takes 1"):
        load_images("fashion_mnist_mini", channels=4)


def test_size_and_channels_are_those_asked_for():
    images = load_images("fashion_mnist_mini", "test", size=(16, 20), channels=3)
    assert images.images.shape == (2000, 3, 16, 20) and images.images.dtype == torch.uint8
    assert torch.equal(images.images[:, 0], images.images[:, 2])


def test_gray_is_what_pillow_makes_of_colour():
    colour = torch.randint(256, (3, 3, 9, 7), dtype=torch.uint8)
    for image, gray in zip(colour, fit(colour, None, 1), strict=True):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L")
        assert gray.flatten().tolist() == list(picture.tobytes())


def test_a_resized_image_is_scaled_and_cut_at_the_centre():
    image = torch.zeros(1, 1, 4, 8, dtype=torch.uint8)
    image[..., 2:6] = 200
    # the short side fits already, so only the outer columns go
    assert fit(image, 4, None).unique().tolist() == [200]
    ramp = torch.arange(0, 250, 5, dtype=torch.uint8).expand(1, 1, 50, 50)
    small = fit(ramp, 10, None)[0, 0, 0].int()
    assert small.diff().min() > 20 and abs(int(small[5]) + int(small[4]) - 245) <= 2


def test_cover_never_falls_short():
    for height, width in [(1, 1), (3, 1000), (1000, 3), (29, 31)]:
        tall, wide = cover(height, width, (28, 30))
        assert tall >= 28 and wide >= 30 and (tall == 28 or wide == 30)
