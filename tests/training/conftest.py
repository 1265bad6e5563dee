"""Pictures and a recipe of one second."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from spikedrive.training import Recipe
from tiny_training import tiny_recipe, write_pictures


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """40 pictures of 4 classes."""
    return write_pictures(tmp_path / "pictures.npz")


@pytest.fixture
def tiny(pictures: Path) -> Callable[..., Recipe]:
    """`tiny(key=value)`: the tiny recipe with changes."""
    return partial(tiny_recipe, pictures)
