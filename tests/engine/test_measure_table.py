"""The engine's tables: each figure beside its bar, losses like wins."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def loaded(name: str) -> ModuleType:
    """A file of benchmarks/ under another name, since the tests have a package `engine` of their own."""
    spec = spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(BENCHMARKS))
    return module


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    return loaded("engine_tables")


@pytest.fixture(scope="module")
def engine() -> ModuleType:
    return loaded("engine")


def row(work: str, against: str, ratio: float, **changes: str) -> dict[str, str]:
    found = {
        "work": work, "against": against, "batch": "1", "threads": "1", "amx": "no", "ratio": f"{ratio}",
        "ratio_low": f"{ratio - 0.5}", "ratio_high": f"{ratio + 0.5}", "ours_ms": "12.3", "theirs_ms": "1234.5",
        "form": "folded, channels last", "density": "0.151", "rate": "0.151", "weights": "random", "cpu": "a processor",
        "cores": "2", "isa": "avx2", "torch": "2.13", "rounds": "15", "date": "today", "commit": "abc",
        "asked_density": "0.15",
    }  # fmt: skip
    return found | changes


def test_a_bar_is_that_of_the_machine(tables: ModuleType) -> None:
    assert tables._bar(row("binary/0.15", "fp32", 9.5)) == "9: met"
    assert tables._bar(row("binary/0.15", "fp32", 9.5, amx="yes")) == "11: missed"
    assert tables._bar(row("integer/0.15", "int8", 0.5)) == "none"


def test_losses_are_shown_like_wins(tables: ModuleType) -> None:
    page = tables.page(
        [
            row("integer/0.15", "int8", 0.75, rate="0.6"),
            row("binary/0.15", "fp32", 12.0),
            row("binary/0.15", "fp32", 3.25, batch="8", threads="2"),
            row("memory/binary", "weights and live activations", 1.5, peak_mebibytes="150", needed_mebibytes="100"),
        ]
    )  # fmt: skip
    lines = page.splitlines()
    binary = next(line for line in lines if "binary T = 4" in line)
    assert "| 12 (11.5 to 12.5) | 9: met | 12.3 | 1234 | folded, channels last | 0.151 |" in binary
    integer = next(line for line in lines if "static int8" in line)
    assert "| 0.75 (0.25 to 1.25) | none |" in integer and "0.151, mean value 0.600" in integer
    assert any(line.endswith("| the same in PyTorch fp32 | - | - | 3.25 |") for line in lines)
    assert "| binary, batch 1 | 150 | 100 | 1.50 | at most 1.3: missed |" in lines
    assert (
        "a processor (no AMX), 2 cores; instruction set avx2; torch 2.13; rounds: 15; today; commit abc."
        in page
    )


def test_every_processor_has_tables_of_its_own(tables: ModuleType) -> None:
    page = tables.page([row("nano", "ann", 2.0), row("nano", "ann", 7.0, cpu="another")])
    one, other = page.split("### One image, one thread: another")
    assert "### One image, one thread: a processor" in one
    assert "| 2 (1.5 to 2.5) |" in one and "| 2 (1.5 to 2.5) |" not in other
    assert "| 7 (6.5 to 7.5) |" in other


def test_a_row_replaces_that_of_the_same_processor(
    engine: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.results, "RESULTS", tmp_path)
    measured = {"work": "nano", "against": "ann", "batch": 1, "threads": 1}
    for cpu, ratio in (("one", 2.0), ("two", 3.0), ("two", 4.0)):
        monkeypatch.setattr(engine.results, "provenance", lambda cpu=cpu: {"cpu": cpu, "commit": "abc"})
        engine._merge("nano", [measured | {"ratio": ratio}])
    assert [(row["cpu"], row["ratio"]) for row in engine.results.read("engine")] == [
        ("one", "2"),
        ("two", "4"),
    ]


def test_nothing_measured_is_said(tables: ModuleType) -> None:
    assert tables.page([]) == "Not measured yet.\n"


def test_every_bar_and_every_work_has_a_line(tables: ModuleType, engine: ModuleType) -> None:
    works = {name for name in engine.works() if not name.startswith(("memory/", "layers/"))}
    assert works == set(tables.WORKS)
    assert {work for work, _ in tables.BARS} <= works
    assert {against for _, against in tables.BARS} <= set(tables.RIVALS)
