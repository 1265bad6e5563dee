"""The bundled images: what they are, where they come from, and that the build gives them again."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from spikedrive.data import fashion_mnist, load_images
from spikedrive.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
SHA256 = {
    "train": (
        "e1427044c614fabc29feeff0f27e6b68f88a9ee2f2cfe7d783b9157159864883",
        "2c02745d4ad8b4511333d0eca662ac5664a371860abaa4588b1670e7be59fbdf",
    ),
    "test": (
        "96315b1732ab731e68b8def3c284f34b605f7deb7a61e683c7d786265c827c83",
        "b2095bc797d1201e84da76c94012c02d0e6f07af0938df4e00120a3b42d1aa4c",
    ),
}


def builder():
    spec = importlib.util.spec_from_file_location("build_bundled", ROOT / "tools" / "build_bundled.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.to(torch.uint8).numpy().tobytes()).hexdigest()


@pytest.mark.parametrize(("split", "per_class"), [("train", 1000), ("test", 200)])
def test_the_bundled_images_are_the_ones_that_were_chosen(split, per_class):
    images = load_images("fashion_mnist_mini", split)
    assert images.images.shape == (10 * per_class, 1, 28, 28)
    assert images.labels.bincount().tolist() == [per_class] * 10
    assert (digest(images.images), digest(images.labels)) == SHA256[split]


def test_the_bundled_files_are_small_and_carry_their_licence():
    files = list(fashion_mnist.BUNDLED.glob("*.npz"))
    assert len(files) == 2
    assert all(file.stat().st_size < 4_000_000 for file in files)
    assert sum(file.stat().st_size for file in files) < 6_000_000
    notice = (fashion_mnist.BUNDLED / "NOTICE").read_text()
    assert "Copyright (c) 2017 Zalando SE" in notice and "Permission is hereby granted" in notice


def test_the_build_command_chooses_the_bundled_arrays(require):
    require(fashion_mnist.DEBIAN.is_dir(), "the Debian package dataset-fashion-mnist")
    chosen = builder().choose(fashion_mnist.DEBIAN)
    assert len(chosen) == 2
    for name, new in chosen.items():
        with np.load(fashion_mnist.BUNDLED / name) as old:
            assert old.files == list(new)
            assert all(np.array_equal(new[key], old[key]) for key in new)


def test_the_same_arrays_give_the_same_bytes(tmp_path):
    module = builder()
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4), dtype=np.uint8)
    module.write_npz(tmp_path / "a.npz", images=images)
    module.write_npz(tmp_path / "b.npz", images=images)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as arrays:
        assert np.array_equal(arrays["images"], images)


def test_the_first_of_each_class_stay_in_file_order():
    labels = np.array([1, 0, 1, 1, 0, 0], dtype=np.uint8)
    images, chosen = builder().first_of_each_class(np.arange(6), labels, 2)
    assert images.tolist() == [0, 1, 2, 4] and chosen.tolist() == [1, 0, 1, 0]


def test_the_debian_package_holds_the_whole(require):
    require(fashion_mnist.DEBIAN.is_dir(), "the Debian package dataset-fashion-mnist")
    images = load_images("fashion_mnist", "test")
    assert len(images) == 10_000 and images.labels.bincount().tolist() == [1000] * 10
    mini = load_images("fashion_mnist_mini", "test")
    assert images.class_names == mini.class_names
    first = torch.nonzero(images.labels == 3).squeeze(1)[:200]
    assert torch.equal(images.images[first], mini.images[mini.labels == 3])


def test_an_absent_debian_package_is_named_with_its_command(monkeypatch, tmp_path):
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "absent")
    with pytest.raises(DataError, match="apt-get install dataset-fashion-mnist"):
        load_images("fashion_mnist")


def test_a_damaged_installation_is_named(monkeypatch, tmp_path):
    (tmp_path / "fashion_mnist_train.npz").write_bytes(
        (fashion_mnist.BUNDLED / "fashion_mnist_train.npz").read_bytes()[:100_000]
    )
    monkeypatch.setattr(fashion_mnist, "BUNDLED", tmp_path)
    with pytest.raises(DataError, match=r"missing or damaged.*Install spikedrive again"):
        load_images("fashion_mnist_mini")
    with pytest.raises(DataError, match="missing or damaged"):
        load_images("fashion_mnist_mini", "test")
