"""The verdict from the command line, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from torch import Tensor

from cli.conftest import Command
from spikedrive.auditing import Audit
from spikedrive.blocks import SpikingModel
from spikedrive.errors import ConfigError
from spikedrive.models import get_card


def test_the_deployed_model_is_additive(command: Command, trained: Path) -> None:
    answer = command("audit", trained, "--fused", "--require", "additive")
    assert answer.code == 0
    assert ": additive, analog first layer" in answer.out


def test_a_weaker_verdict_than_required_is_exit_code_1(command: Command, trained: Path) -> None:
    answer = command("audit", trained, "--require", "additive", "--json")
    assert answer.code == 1
    assert answer.err == "the verdict is hybrid; additive was required\n"
    # stdout is one document all the same
    audited = json.loads(answer.out)
    assert audited["verdict"] == "hybrid"
    first = audited["exceptions"][0]
    assert first["file"].endswith(".py")
    assert first["line"] > 0


def test_a_model_is_audited_by_its_name(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def look(model: SpikingModel, example: Tensor, **_: object) -> Audit:
        asked.extend((model.card, tuple(example.shape)))
        raise ConfigError("Enough.")

    monkeypatch.setattr("spikedrive.auditing.audit", look)
    assert command("audit", "spike_driven_transformer_cifar10_dvs_2_256").code == 2
    assert asked == [get_card("spike_driven_transformer_cifar10_dvs_2_256"), (10, 1, 2, 64, 64)]


def test_density_is_measured_on_data_and_the_result_is_kept(
    command: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "audit.json"
    answer = command("audit", trained, "--fused", "--data", pictures, "--samples", 4, "--out", kept)
    assert answer.code == 0
    layers = Audit.load(kept).layers
    assert all(0 <= row.density <= 1 for row in layers if row.density is not None)
    assert any(row.density is not None and row.density < 1 for row in layers)


def test_a_certificate_is_checked(command: Command, trained: Path, pictures: Path, tmp_path: Path) -> None:
    kept = tmp_path / "audit.json"
    command("audit", trained, "--fused", "--data", pictures, "--samples", 4, "--out", kept)
    again = command("audit", trained, "--fused", "--data", pictures, "--check", kept)
    assert (again.code, again.out.splitlines()[1:]) == (0, [])
    assert again.out.startswith("the certificate holds: meta_spikeformer_nano is additive")
    answer = command("audit", trained, "--check", kept, "--json")
    assert answer.code == 1
    compared = json.loads(answer.out)
    assert compared["holds"] is False
    assert any(
        said.startswith("verdict: additive, and the model is hybrid") for said in compared["differences"]
    )
    assert "give the data to measure them again" in compared["unchecked"][0]
    assert "--check came with --out" in command("audit", trained, "--check", kept, "--out", kept).err


def test_the_rows_take_another_table(command: Command, trained: Path) -> None:
    answer = command("audit", trained, "--fused", "--table", "45nm_int8", "--json")
    assert json.loads(answer.out)["table"]["name"] == "45nm_int8"
    assert "the tables are 45nm, 45nm_int16" in command("audit", trained, "--table", "7nm").err


@pytest.mark.parametrize("what", ["runs/none", "none.safetensors"])
def test_a_path_without_a_model(command: Command, what: str) -> None:
    answer = command("audit", what)
    assert answer.code == 2
    assert (
        f"error: There is no file or folder {what}; a run's folder or a .safetensors checkpoint" in answer.err
    )
