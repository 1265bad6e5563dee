"""The examples of the page of video run, and say what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "video.md").read_text(encoding="utf-8")


def test_the_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert len(blocks) == 7
    for block in blocks:
        exec(compile(block, "video.md", "exec"), names)
    said = capsys.readouterr().out
    for line in ("[2, 10]", "[8, 2, 5, 32, 32]", "[8, 2, 3, 2]", "additive", "times fewer"):
        assert line in said, line
