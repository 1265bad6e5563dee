"""The verdict from the command line, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.conftest import Command
from spikedrive.auditing import Audit

NANO = "meta_spikeformer_nano"


def test_the_deployed_model_is_additive(command: Command) -> None:
    answer = command("audit", NANO, "--fused", "--require", "additive")
    assert answer.code == 0
    assert "additive" in answer.out


def test_the_model_as_it_trains_is_not_and_the_exit_code_says_so(command: Command) -> None:
    answer = command("audit", NANO, "--require", "additive")
    assert answer.code == 1
    assert answer.err == "the verdict is hybrid; additive was required\n"
    assert command("audit", NANO, "--require", "hybrid").code == 0


def test_json_is_one_document_with_the_exceptions(command: Command) -> None:
    audited = json.loads(command("audit", NANO, "--json").out)
    assert audited["verdict"] == "hybrid"
    first = audited["exceptions"][0]
    assert first["file"].endswith(".py")
    assert first["line"] > 0


def test_density_is_measured_on_data_and_the_result_is_kept(
    command: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "audit.json"
    answer = command("audit", trained, "--fused", "--data", pictures, "--samples", 4, "--out", kept)
    assert answer.code == 0
    layers = Audit.load(kept).layers
    assert all(0 <= row.density <= 1 for row in layers if row.density is not None)
    assert any(row.density is not None and row.density < 1 for row in layers)


@pytest.mark.parametrize("what", ["runs/none", "none.safetensors"])
def test_a_path_without_a_model(command: Command, what: str) -> None:
    answer = command("audit", what)
    assert answer.code == 2
    assert (
        f"error: There is no file or folder {what}; a run's folder or a .safetensors checkpoint" in answer.err
    )
