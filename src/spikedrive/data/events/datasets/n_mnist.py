"""N-MNIST: the 70,000 digits of MNIST in front of a moving camera."""

from __future__ import annotations

from pathlib import Path

from spikedrive.data.events.clips import EventSet
from spikedrive.data.events.datasets.clip_files import in_classes
from spikedrive.data.events.datasets.published import DATASETS, Layout, Published
from spikedrive.data.events.formats import read_atis

LAYOUT = Layout(
    title="N-MNIST",
    page="https://www.garrickorchard.com/datasets/n-mnist",
    tree="""
Train/
  0/ 00002.bin ...
  ...
  9/
Test/
  0/ ... 9/
""",
    splits=("train", "test"),
)
_FOLDERS = {"train": "Train", "test": "Test"}


def load_n_mnist(root: Path, split: str) -> EventSet:
    """60,000 or 10,000 digits of 34 x 34 pixels, three saccades of about 100 ms each.

    *Source*: Orchard et al., Frontiers in Neuroscience 9 (2015) 437.
    """
    folder = LAYOUT.part(root, _FOLDERS[split])
    digits = [str(digit) for digit in range(10)]
    return in_classes([(d, LAYOUT.files(LAYOUT.part(folder, d), "*.bin")) for d in digits], read_atis, 34, 34)


DATASETS.add("n_mnist", Published(LAYOUT, load_n_mnist))
