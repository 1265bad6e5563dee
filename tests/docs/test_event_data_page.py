"""The page of published event data says what the code says, and its examples run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spikedrive.data.events import augment
from spikedrive.data.events.datasets import DATASETS, dsec, gen1

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "event-data.md").read_text(encoding="utf-8")
LAYOUTS = [*(DATASETS[name].layout for name in DATASETS), gen1.LAYOUT, dsec.LAYOUT]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.title)
def test_each_data_set_stands_with_its_page_tree_and_splits(layout) -> None:
    start = PAGE.index(f"**{layout.title}**: <{layout.page.split()[0]}>")
    assert layout.tree.strip() in PAGE[start:].split("```")[1]
    (row,) = (line for line in PAGE.splitlines() if line.startswith("| `") and f"{layout.title}:" in line)
    assert f"| {', '.join(layout.splits)} |" in row


def test_each_name_stands_in_a_table() -> None:
    first_cells = re.findall(r"^\| (`.*?`) \|", PAGE, re.M)
    named = set(re.findall(r"`(\w+)(?:\(\))?`", " ".join(first_cells)))
    assert set(DATASETS) <= named
    assert set(augment.__all__) - {"EventTransform", "affine", "mix_area", "mix_time", "move"} <= named


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs, asks_for_data = PAGE.split("## Boxes, flow, attributes")
    blocks = re.findall(r"```python\n(.*?)```", runs, re.S)
    assert len(blocks) == 3
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "event-data.md", "exec"), names)
    # the others name what is there
    (block,) = re.findall(r"```py\n(.*?)```", asks_for_data, re.S)
    exec(compile(block[: block.index("\n\n")], "event-data.md", "exec"), names)
    for module, name in re.findall(r"\b(gen1|dsec|daily_dvs200|n_caltech101)\.(\w+)\(", block):
        assert callable(getattr(names[module], name))
