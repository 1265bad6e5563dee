"""A folder of pictures, a run trained on it, and the command as a function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from spikedrive.cli import main

TINY = ["meta_spikeformer_nano", "batch_size=8", "model_args.widths=[8,16,32]", "model_args.depths=[0,0,1]"]
"""The words that train the smallest model of the family, because exporting takes a time for each operation."""


class Answer(NamedTuple):
    """What a command gave back."""

    code: int
    out: str
    err: str


Command = Callable[..., Answer]


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Command:
    """`command("models", "--json")` runs one command in this process."""

    def run(*words: object) -> Answer:
        capfd.readouterr()
        code = main([str(word) for word in words])
        return Answer(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that a look at the brightness tells apart, 12 and 4 PNG files each."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 4)):
        for name, brightness in (("dark", 40), ("light", 200)):
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(brightness - 30, brightness + 30, (28, 28), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one epoch on the pictures."""
    out = tmp_path_factory.mktemp("runs") / "trained"
    words = ["train", *TINY, "epochs=1", "--data", str(pictures), "--out", str(out)]
    assert main(words) == 0
    return out


@pytest.fixture(scope="session")
def program(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained run as an integer program."""
    path = tmp_path_factory.mktemp("programs") / "trained.sdx"
    assert main(["compile", str(trained), "-o", str(path)]) == 0
    return path
