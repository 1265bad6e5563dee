"""A report of a user's own run, with what training does not write made on the way."""

from __future__ import annotations

import json
from pathlib import Path

from cli.conftest import TINY, Command


def test_a_run_is_examined_and_shown(command: Command, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    trained = command("train", TINY[0], "--data", pictures, *TINY[1:], "epochs=1", "--out", out)
    assert trained.code == 0, trained.err
    before = command("report", out)
    assert before.code == 0, before.err
    assert f"spikedrive report {out} --data DATA" in (out / "report.html").read_text()

    answer = command("report", out, "--data", pictures, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["bytes"] == (out / "report.html").stat().st_size
    verified = json.loads((out / "verify.json").read_text())
    assert verified["equal"] and verified["images"] == 8
    assert "--data DATA" not in (out / "report.html").read_text()


def test_data_without_that_split(command: Command, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert command("train", TINY[0], "--data", pictures, *TINY[1:], "epochs=1", "--out", out).code == 0
    answer = command("report", out, "--data", pictures, "--split", "tset")
    assert answer.code == 2
    assert "tset" in answer.err
