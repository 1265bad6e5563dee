"""PNG and JPEG files, one by one."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from spikedrive.data import decode, read_image
from spikedrive.data.fit import fit
from spikedrive.errors import ConfigError, DataError

COLOUR = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)


def test_a_png_is_read_as_it_is(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.dtype == torch.uint8 and np.array_equal(image, COLOUR.transpose(2, 0, 1))
    assert np.array_equal(decode(tmp_path / "a.png"), image)


def test_channels_are_converted(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    Image.fromarray(COLOUR[..., 0]).save(tmp_path / "g.png")
    gray = read_image(tmp_path / "a.png", channels=1)
    assert torch.equal(gray, fit(read_image(tmp_path / "a.png")[None], None, 1)[0])
    assert read_image(tmp_path / "g.png").shape == (1, 12, 9)
    assert torch.equal(read_image(tmp_path / "g.png", channels=3)[1], read_image(tmp_path / "g.png")[0])
    with pytest.raises(ConfigError, match="channels is 2"):
        read_image(tmp_path / "a.png", channels=2)


def test_the_short_side_is_scaled_and_the_centre_cut(tmp_path):
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 255
    Image.fromarray(wide).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", 10).unique().tolist() == [255]
    assert read_image(tmp_path / "a.png", (20, 60)).shape == (1, 20, 60)
    # a size that was there already costs no resampling
    assert np.array_equal(read_image(tmp_path / "a.png", (10, 30))[0], wide)


def test_a_large_jpeg_decoded_small_is_the_large_one_scaled(tmp_path):
    ramp = np.linspace(0, 255, 800).astype(np.uint8)
    Image.fromarray(np.stack([np.tile(ramp, (640, 1))] * 3, -1)).save(tmp_path / "a.jpg", quality=95)
    small, large = read_image(tmp_path / "a.jpg", 32), read_image(tmp_path / "a.jpg")
    assert large.shape == (3, 640, 800)
    assert (small.int() - fit(large[None], 32, None)[0].int()).abs().max() <= 3


def test_a_photograph_is_turned_upright(tmp_path):
    picture = Image.fromarray(COLOUR)
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), np.rot90(COLOUR, -1).transpose(2, 0, 1))


def test_modes_that_pillow_would_clip_or_warn_about(tmp_path):
    deep = (np.arange(64, dtype=np.uint16) * 1024).reshape(8, 8)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(read_image(tmp_path / "deep.png")[0], deep >> 8)
    palette = Image.fromarray(COLOUR).quantize(16)
    palette.info["transparency"] = bytes(range(16))
    palette.save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png").shape == (3, 12, 9)
    Image.fromarray(COLOUR[..., 0] > 128).save(tmp_path / "bits.png")
    assert read_image(tmp_path / "bits.png").unique().tolist() == [0, 255]
    Image.fromarray(np.dstack([COLOUR, COLOUR[..., :1]])).save(tmp_path / "alpha.png")
    assert np.array_equal(read_image(tmp_path / "alpha.png"), COLOUR.transpose(2, 0, 1))
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "press.jpg")
    assert read_image(tmp_path / "press.jpg").shape == (3, 12, 9)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.png does not exist"):
        read_image(tmp_path / "none.png")
    with pytest.raises(DataError, match="is a folder"):
        read_image(tmp_path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_truncated_image_is_named(tmp_path, name):
    buffer = io.BytesIO()
    Image.fromarray(np.tile(COLOUR, (9, 9, 1))).save(buffer, format="PNG" if name == "a.png" else "JPEG")
    (tmp_path / name).write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(DataError, match=rf"{name} is a damaged image"):
        read_image(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"no image at all", b"GIF89a" + bytes(40)])
def test_a_file_of_another_type_is_named(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png is no PNG or JPEG image"):
        read_image(tmp_path / "a.png")


def test_a_picture_too_large_to_be_one_is_refused(tmp_path, monkeypatch):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match="decompression bomb"):
        read_image(tmp_path / "a.png")
