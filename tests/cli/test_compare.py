"""Models side by side: what is measured, and the page that shows it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cli.conftest import Command
from spikedrive.errors import DataError
from spikedrive.reports.comparison import ARTIFACT, write_comparison


def test_runs_stand_side_by_side(command: Command, trained: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "page"
    done = command("compare", trained, "--data", pictures, "--out", out, "--rounds", 4, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found == json.loads((out / ARTIFACT).read_text())
    (row,) = found["models"]
    assert (
        row["accuracy"] == json.loads(command("eval", trained, "--data", pictures, "--json").out)["accuracy"]
    )
    assert row["verdict"] == "additive"
    assert 0 < row["latency_ms_low"] <= row["latency_ms"] <= row["latency_ms_high"]
    assert 0 < row["density"] < 1
    assert row["parameters"] == json.loads((trained / "metrics.json").read_text())["parameters"]
    page = (out / "comparison.md").read_text()
    line = next(line for line in page.splitlines() if line.startswith(f"| `{trained}`"))
    assert f"| {100 * row['accuracy']:.2f} |" in line
    assert f"on the {found['images']:,} test images of {found['data']}" in page
    assert page.splitlines()[-1].startswith(f"Measured by `{found['command']}` on {found['date']}, commit ")
    picture = (out / "comparison.svg").read_text()
    # one point a plot, and one in the list of names
    assert len(re.findall(f">1  {trained}<", picture)) == 1
    assert len(re.findall(">1<", picture)) == 5


def test_a_model_is_compared_once(command: Command) -> None:
    answer = command("compare", "a", "a")
    assert answer.code == 2
    assert "takes each of them once. Leave the second one out." in answer.err


def test_a_wrong_target_is_named_before_anything_is_trained(
    command: Command, trained: Path, tmp_path: Path
) -> None:
    answer = command("compare", "meta_spikeformer_nano", trained, "nope.fashion", "--out", tmp_path / "page")
    assert answer.code == 2
    assert answer.err.startswith("error: There is no file or folder nope.fashion")
    assert not (tmp_path / "page" / "runs").exists()
    answer = command("compare", trained, "spikegpt_additive_6m.shakespeare", "--out", tmp_path / "page")
    assert answer.code == 2
    assert answer.err.startswith("error: compare got spikegpt_additive_6m.shakespeare, a language model")
    (tmp_path / "file").write_text("")
    answer = command("compare", trained, "--out", tmp_path / "file")
    assert answer.code == 2
    assert answer.err.startswith("error: compare cannot make the folder")


@pytest.mark.parametrize("text", ["{", "[]", '{"models": []}'])
def test_a_damaged_comparison_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / ARTIFACT).write_text(text)
    with pytest.raises(DataError, match=r"holds no comparison .* at least one model\. Run it again"):
        write_comparison(tmp_path)
