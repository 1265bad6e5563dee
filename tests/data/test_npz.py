"""Images in .npz files: layouts, types, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from spikedrive.data import list_splits, load_images
from spikedrive.errors import DataError

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (4, 6, 5), dtype=np.uint8)
LABELS = np.array([0, 2, 1, 2])


@pytest.fixture
def save(tmp_path):
    def write(**arrays):
        np.savez_compressed(tmp_path / "a.npz", **arrays)
        return tmp_path / "a.npz"

    return write


def test_divided_files_give_their_splits(save):
    path = save(x_train=BYTES, y_train=LABELS, x_test=BYTES[:2], y_test=LABELS[:2])
    assert list_splits(path) == ("train", "test")
    train, test = load_images(path), load_images(path, "test")
    assert np.array_equal(train.images[:, 0], BYTES) and train.labels.tolist() == LABELS.tolist()
    assert train.class_names == test.class_names == ("0", "1", "2") and len(test) == 2


def test_the_names_of_medmnist_are_known(save):
    labels = LABELS[:, None].astype(np.uint8)
    path = save(train_images=BYTES, train_labels=labels, val_images=BYTES[1:], val_labels=labels[1:])
    assert list_splits(path) == ("train", "val")
    assert load_images(path, "val").labels.tolist() == [2, 1, 2]


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels")])
def test_undivided_files_are_training_data(save, names):
    path = save(
        **dict(zip(names, (BYTES, LABELS[:, None]), strict=True)), class_names=np.array(["a", "b", "c", "d"])
    )
    assert list_splits(path) == ("train",)
    assert load_images(path).class_names == ("a", "b", "c", "d")


def test_channels_last_and_first_are_told_apart(save):
    colour = RNG.integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
    last = load_images(save(x=colour, y=LABELS))
    first = load_images(save(x=colour.transpose(0, 3, 1, 2), y=LABELS))
    assert last.shape == first.shape == (3, 6, 5) and (last.images == first.images).all()
    assert np.array_equal(last.images, colour.transpose(0, 3, 1, 2))


def test_integers_and_floats_become_the_same_bytes(save):
    for array in (BYTES.astype(np.int64), BYTES / 255, (BYTES / 255).astype(np.float32)):
        assert np.array_equal(load_images(save(x=array, y=LABELS)).images[:, 0], BYTES)


def test_other_names_are_listed(save):
    with pytest.raises(DataError, match="holds data, target; x_train"):
        load_images(save(data=BYTES, target=LABELS))


@pytest.mark.parametrize("keep", [0, 10, 300])
def test_a_truncated_file_is_named(save, keep):
    path = save(x=BYTES, y=LABELS)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"a\.npz is truncated or no \.npz file"):
        load_images(path)


def test_a_damaged_member_is_named(save):
    path = save(x=BYTES, y=LABELS)
    raw = bytearray(path.read_bytes())
    raw[60:90] = bytes(30)
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.npz is truncated"):
        load_images(path)


def test_a_single_array_is_no_npz(tmp_path):
    with open(tmp_path / "a.npz", "wb") as file:
        np.save(file, BYTES)
    with pytest.raises(DataError, match=r"no \.npz file of plain arrays"):
        load_images(tmp_path / "a.npz")


def test_objects_are_not_loaded(save):
    path = save(x=np.array([None, {}], dtype=object), y=LABELS[:2])
    with pytest.raises(DataError, match=r"no .npz file of plain arrays"):
        load_images(path)


@pytest.mark.parametrize("shape", [(4,), (4, 30), (4, 6, 5, 2), (4, 1, 6, 5, 3)])
def test_a_wrong_shape_is_refused(save, shape):
    with pytest.raises(DataError, match=r"x of shape .* with 1 or 3 channels is accepted"):
        load_images(save(x=np.zeros(shape, np.uint8), y=LABELS))


@pytest.mark.parametrize("dtype", [complex, "U3", "M8[s]"])
def test_a_wrong_dtype_is_refused(save, dtype):
    with pytest.raises(DataError, match=r"x of dtype .*; integers from 0 to 255 or floats from 0 to 1"):
        load_images(save(x=np.zeros((4, 6, 5), dtype), y=LABELS))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_refused_and_found(save, value):
    array = BYTES / 255
    array[2, 3, 1] = value
    with pytest.raises(DataError, match="NaN or infinity in x, first in image 2"):
        load_images(save(x=array, y=LABELS))


@pytest.mark.parametrize(
    "array", [BYTES / 255 * 2 - 1, BYTES.astype(np.float32), BYTES.astype(np.int16) + 200]
)
def test_values_out_of_range_are_refused(save, array):
    with pytest.raises(DataError, match=r"has x .* from .* to .*Undo the normalisation"):
        load_images(save(x=array, y=LABELS))


@pytest.mark.parametrize("labels", [LABELS.astype(float), np.eye(4, dtype=np.int64), np.array(["a"] * 4)])
def test_labels_that_are_no_whole_numbers_are_refused(save, labels):
    with pytest.raises(DataError, match="N whole numbers are accepted"):
        load_images(save(x=BYTES, y=labels))


def test_labels_out_of_range_are_refused(save):
    with pytest.raises(DataError, match="label -1 in y, out of range"):
        load_images(save(x=BYTES, y=LABELS - 1))
    with pytest.raises(DataError, match="label 2 in y, out of range for 2 classes"):
        load_images(save(x=BYTES, y=LABELS, class_names=np.array(["a", "b"])))
    with pytest.raises(DataError, match="label 5 in y_test, out of range for 3 classes"):
        load_images(save(x_train=BYTES, y_train=LABELS, x_test=BYTES, y_test=LABELS + 3), "test")


def test_another_number_of_labels_is_refused(save):
    with pytest.raises(DataError, match="holds 4 x and 3 y"):
        load_images(save(x=BYTES, y=LABELS[:3]))
