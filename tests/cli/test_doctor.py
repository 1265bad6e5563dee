"""The doctor says what there is, without importing torch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import spikedrive
from cli.conftest import Command


def test_it_names_versions_and_what_runs_the_programs(command: Command) -> None:
    answer = command("doctor", "--json")
    found = json.loads(answer.out)
    assert answer.code == 0
    assert found["spikedrive"] == spikedrive.__version__
    assert found["numpy"][0].isdigit()
    assert found["cores"] >= 1
    assert "not part of this build; the NumPy interpreter runs programs" in found["native kernels"]


def test_it_says_so_where_there_is_no_compiler_and_no_browser(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = json.loads(command("doctor", "--json").out)
    assert found["compiler"] == "none found"
    assert found["browser"] == "none found"
    tool = tmp_path / "c++"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert json.loads(command("doctor", "--json").out)["compiler"] == str(tool)


def test_people_get_a_table(command: Command) -> None:
    lines = command("doctor").out.splitlines()
    assert lines[0].split() == ["what", "here"]
    assert any(line.startswith("python ") for line in lines)
