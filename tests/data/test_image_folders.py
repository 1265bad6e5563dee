"""Trees of image files, one folder a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from spikedrive.data import batches, list_splits, load_images
from spikedrive.data.pictures import ImageFiles
from spikedrive.errors import DataError


def draw(path: Path, level: int, size: tuple[int, int] = (8, 8), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size[::-1], level if mode == "L" else (level, 0, 0)).save(path)


@pytest.fixture
def tree(tmp_path) -> Path:
    for split, count in (("train", 3), ("val", 1), ("test", 2)):
        for label, name in enumerate(("cat", "dog")):
            for i in range(count):
                draw(tmp_path / split / name / f"{i}.png", 100 * label + 10 * i)
    return tmp_path


def test_split_folders_give_splits_with_the_same_classes(tree):
    assert list_splits(tree) == ("train", "val", "test")
    train = load_images(tree, "train")
    assert train.class_names == ("cat", "dog") and train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert train.images[:][:, 0, 0, 0].tolist() == [0, 10, 20, 100, 110, 120]
    assert len(load_images(tree, "val")) == 2 and len(load_images(tree, "test")) == 4


def test_class_folders_alone_are_training_data(tree):
    assert list_splits(tree / "train") == ("train",)
    assert len(load_images(tree / "train")) == 6


def test_files_are_read_when_asked_for_and_kept_while_small(tree):
    images = load_images(tree, "train").images
    assert isinstance(images, ImageFiles)
    before = images[torch.tensor([1])].clone()
    for path in tree.rglob("*.png"):
        path.unlink()
    assert torch.equal(images.subset(torch.tensor([0, 1]))[1:2], before)
    with pytest.raises(DataError, match="does not exist"):
        images[:]


def test_files_are_read_again_where_they_are_large(tree):
    small = load_images(tree, "train").images
    images = ImageFiles(small.paths, small.size, small.channels, cache_bytes=100)
    images[:]
    small.paths[0].unlink()
    with pytest.raises(DataError, match="does not exist"):
        images[:1]


def test_subset_and_split_of_files(tree):
    train = load_images(tree, "train")
    part = train.subset(torch.tensor([4, 0]))
    assert part.images[:][:, 0, 0, 0].tolist() == [110, 0] and part.labels.tolist() == [1, 0]
    first, second = train.split(1 / 3, seed=1)
    assert second.labels.tolist() == [0, 1] and first.labels.tolist() == [0, 0, 1, 1]
    assert sorted(torch.cat([first.images[:], second.images[:]])[:, 0, 0, 0].tolist()) == [
        0,
        10,
        20,
        100,
        110,
        120,
    ]


def test_batches_of_files_are_those_of_the_images_in_memory(tree):
    files = load_images(tree, "train")
    memory = type(files)(files.images[:], files.labels, files.class_names)
    pairs = zip(*(batches(s, 4, seed=3, epoch=1, shuffle=True) for s in (files, memory)), strict=True)
    assert all(torch.equal(a, b) for one, two in pairs for a, b in zip(one, two, strict=True))


def test_statistics_of_files(tree):
    mean, deviation = load_images(tree, "train").statistics()
    levels = np.array([0, 10, 20, 100, 110, 120]) / 255
    assert mean == pytest.approx([levels.mean()]) and deviation == pytest.approx([levels.std()])


def test_size_and_channels_bring_all_files_to_one_shape(tree):
    draw(tree / "train" / "cat" / "9.jpg", 77, size=(30, 20), mode="RGB")
    images = load_images(tree, "train", size=(6, 5), channels=3)
    assert images.shape == (3, 6, 5) and images.images[:].shape == (7, 3, 6, 5)


def test_files_of_several_sizes_need_a_size(tree):
    draw(tree / "train" / "dog" / "9.png", 77, size=(9, 8))
    with pytest.raises(DataError, match=r"9\.png is \(1, 9, 8\) .*Give size="):
        load_images(tree, "train").images[:]


def test_colour_among_gray_needs_channels(tree):
    draw(tree / "train" / "dog" / "9.png", 77, mode="RGB")
    with pytest.raises(DataError, match=r"9\.png is \(3, 8, 8\) .*channels="):
        load_images(tree, "train").images[:]
    assert load_images(tree, "train", channels=1).images[:].shape == (7, 1, 8, 8)


def test_hidden_files_are_passed_over(tree):
    (tree / "train" / "cat" / ".DS_Store").write_bytes(b"x")
    (tree / "train" / "cat" / "Thumbs.db").write_bytes(b"x")
    (tree / ".git").mkdir()
    assert len(load_images(tree, "train")) == 6


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="is empty; a folder of idx files"):
        load_images(tmp_path)


def test_a_folder_without_images_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(DataError, match="holds files and no class folders"):
        load_images(tmp_path)


def test_images_without_class_folders_are_named(tmp_path):
    draw(tmp_path / "a.png", 3)
    with pytest.raises(DataError, match="Sort the images into one folder a class"):
        load_images(tmp_path)


def test_an_empty_class_folder_is_named(tree):
    (tree / "train" / "emu").mkdir()
    for split in ("val", "test"):
        draw(tree / split / "emu" / "0.png", 1)
    with pytest.raises(DataError, match=r"train/emu has no images; each needs at least one"):
        load_images(tree, "train")


def test_a_class_that_another_split_lacks_is_named(tree):
    draw(tree / "train" / "emu" / "0.png", 1)
    with pytest.raises(DataError, match="differ in class 'emu'"):
        load_images(tree, "test")


def test_splits_beside_classes_are_refused(tree):
    draw(tree / "emu" / "0.png", 1)
    with pytest.raises(DataError, match=r"either split folders .* or class folders are accepted"):
        load_images(tree)


def test_a_file_of_another_type_is_named(tree):
    (tree / "train" / "cat" / "notes.tiff").write_bytes(b"II*\0")
    with pytest.raises(DataError, match=r"notes\.tiff is of a type that is not read"):
        load_images(tree, "train")


def test_a_corrupt_file_is_named_when_it_is_read(tree):
    path = tree / "train" / "dog" / "1.png"
    Image.effect_noise((8, 8), 90).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    images = load_images(tree, "train")
    with pytest.raises(DataError, match=r"dog/1\.png is a damaged image"):
        list(batches(images, 2))
