"""The size check holds here, and would notice."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_sizes", ROOT / "tools" / "check_sizes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_this_repository_holds_the_limits(check: ModuleType) -> None:
    assert check.faults(ROOT) == []


def test_each_limit_is_noticed(check: ModuleType, tmp_path: Path) -> None:
    crowded = tmp_path / "src" / "spikedrive" / "blocks"
    crowded.mkdir(parents=True)
    for i in range(13):
        (crowded / f"part{i}.py").write_text("x = 1\n")
    (crowded / "part0.py").write_text("x = 1\n" * 601)
    (crowded / "part1.py").rename(crowded / "utils.py")
    (tmp_path / "README.md").write_text("line\n" * 151)
    for area in ("cli", "training"):
        (tmp_path / "tests" / area).mkdir(parents=True)
        (tmp_path / "tests" / area / "test_activity.py").write_text("x = 1\n")
    assert sorted(check.faults(tmp_path)) == [
        "2 files are named test_activity.py; pytest tells test files apart by name. Rename one.",
        "README.md has more than 150 lines. Move some of it to docs/.",
        "src/spikedrive/blocks has 13 files; at most 12. Make a folder.",
        "src/spikedrive/blocks/part0.py has 601 lines; at most 600. Split it by idea.",
        "src/spikedrive/blocks/utils.py has a name that says nothing; name the idea that it holds.",
    ]


def test_wide_folders_may_grow(check: ModuleType, tmp_path: Path) -> None:
    models = tmp_path / "src" / "spikedrive" / "models"
    models.mkdir(parents=True)
    for i in range(40):
        (models / f"family{i}.py").write_text("x = 1\n")
    assert check.faults(tmp_path) == []
