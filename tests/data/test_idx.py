"""Folders of idx files, whole and damaged."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spikedrive.data import list_splits, load_images
from spikedrive.data.idx import read_idx
from spikedrive.errors import DataError


def encode(array: np.ndarray) -> bytes:
    return (
        struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    )


def write(
    folder: Path, part: str, images: np.ndarray, labels: np.ndarray, prefix: str = "", zipped: bool = False
):
    for kind, array in ((f"images-idx{images.ndim}", images), ("labels-idx1", labels)):
        raw = encode(array)
        name = f"{prefix}{part}-{kind}-ubyte"
        (folder / f"{name}.gz").write_bytes(gzip.compress(raw)) if zipped else (folder / name).write_bytes(
            raw
        )


@pytest.fixture
def digits() -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 7), dtype=np.uint8)
    return images, np.array([0, 1, 2, 0, 1, 2])


@settings(deadline=None, max_examples=40)
@given(
    array=arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)),
    zipped=st.booleans(),
)
def test_what_is_written_is_read(tmp_path_factory, array, zipped):
    path = tmp_path_factory.mktemp("idx") / ("a.gz" if zipped else "a")
    path.write_bytes(gzip.compress(encode(array)) if zipped else encode(array))
    assert np.array_equal(read_idx(path), array) and read_idx(path).shape == array.shape


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("test_name", ["t10k", "test"])
def test_a_folder_gives_its_splits(tmp_path, digits, zipped, test_name):
    images, labels = digits
    write(tmp_path, "train", images, labels, zipped=zipped)
    write(tmp_path, test_name, images[:2], labels[:2], zipped=zipped)
    assert set(list_splits(tmp_path)) == {"train", "test"}
    train = load_images(tmp_path, "train")
    assert np.array_equal(train.images[:, 0], images) and train.labels.tolist() == labels.tolist()
    assert train.class_names == ("0", "1", "2") == load_images(tmp_path, "test").class_names


def test_emnist_is_turned_and_named_by_its_mapping(tmp_path, digits):
    images, labels = digits
    write(tmp_path, "train", images, labels, prefix="emnist-letters-")
    write(tmp_path, "train", images[:3], labels[:3], prefix="emnist-mnist-")
    (tmp_path / "emnist-letters-mapping.txt").write_text("1 65 97\n2 66 98\n")
    with pytest.raises(DataError, match=r"holds 2 idx sets.*emnist-letters.*emnist-mnist"):
        load_images(tmp_path)
    letters = load_images(tmp_path / "emnist-letters")
    assert letters.class_names == ("0", "A/a", "B/b")
    assert np.array_equal(letters.images[:, 0], images.transpose(0, 2, 1))


def test_images_without_labels_are_refused(tmp_path, digits):
    write(tmp_path, "train", *digits)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="has no labels; train-labels-idx1-ubyte or"):
        load_images(tmp_path)


@pytest.mark.parametrize("keep", [0, 3, 9, 40])
def test_a_truncated_file_is_named(tmp_path, digits, keep):
    write(tmp_path, "train", *digits)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte (is truncated|starts with)"):
        load_images(tmp_path)


@pytest.mark.parametrize("keep", [5, 30, -4])
def test_a_truncated_gzip_file_is_named(tmp_path, digits, keep):
    write(tmp_path, "train", *digits, zipped=True)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"idx3-ubyte\.gz is truncated or no gzip file"):
        load_images(tmp_path)


def test_bytes_after_the_end_are_refused(tmp_path, digits):
    write(tmp_path, "train", *digits)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match="header promises 6x5x7 bytes and 211 follow"):
        load_images(tmp_path)


def test_another_element_type_is_refused(tmp_path, digits):
    write(tmp_path, "train", *digits)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(b"\0\0\x0d" + path.read_bytes()[3:])
    with pytest.raises(DataError, match="starts with 00000d03; an idx file of unsigned bytes"):
        load_images(tmp_path)


def test_labels_of_another_number_are_refused(tmp_path, digits):
    write(tmp_path, "train", digits[0], digits[1][:4])
    with pytest.raises(DataError, match=r"holds \(6, 5, 7\) and .* holds \(4,\)"):
        load_images(tmp_path)


def test_a_test_label_that_was_never_trained_is_out_of_range(tmp_path, digits):
    images, labels = digits
    write(tmp_path, "train", images, labels)
    write(tmp_path, "t10k", images, labels + 1)
    with pytest.raises(DataError, match="label 3, out of range for 3 classes"):
        load_images(tmp_path, "test")
