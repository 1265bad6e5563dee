"""The doctor says what there is, without importing torch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import spikedrive
from cli.conftest import Command
from spikedrive import native
from spikedrive.errors import ConfigError


def test_it_names_versions_and_what_runs_the_programs(command: Command) -> None:
    answer = command("doctor", "--json")
    found = json.loads(answer.out)
    assert answer.code == 0
    assert found["spikedrive"] == spikedrive.__version__
    assert found["numpy"][0].isdigit()
    assert found["cores"] >= 1
    assert found["engine"] == native.engine_summary()
    assert found["C library"] == native.c_summary()


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


def test_it_says_which_instruction_set_the_neurons_use_and_why_none(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "train", None)
    monkeypatch.setattr(native, "missing", "it was not built")
    assert json.loads(command("doctor", "--json").out)["neuron kernels"] == (
        "none: it was not built; neurons run in PyTorch"
    )

    class Module:
        isas = staticmethod(lambda: ["scalar", "avx2"])
        parallel = staticmethod(lambda: True)

    monkeypatch.setattr(native, "train", Module)
    native._level.cache_clear()
    monkeypatch.setenv("SPIKEDRIVE_ISA", "scalar")
    assert json.loads(command("doctor", "--json").out)["neuron kernels"].startswith(
        "scalar (of scalar, avx2)"
    )
    native._level.cache_clear()
    monkeypatch.setattr(native, "run", None)
    monkeypatch.setattr(native, "run_missing", "it was not built")
    assert json.loads(command("doctor", "--json").out)["engine"] == (
        "none: it was not built; programs run in NumPy"
    )


def test_it_names_the_folders_for_c(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Module:
        __file__ = str(tmp_path / "_run.so")
        levels = staticmethod(lambda: ["scalar"])

    monkeypatch.delenv("SPIKEDRIVE_ISA", raising=False)
    monkeypatch.setattr(native, "run", Module)
    assert json.loads(command("doctor", "--json").out)["C library"] == (
        "none: this installation is older than it. Install spikedrive again"
    )
    with pytest.raises(
        ConfigError, match=r"no library for C, which .* has beside it: .* Install spikedrive again"
    ):
        native.paths()
    monkeypatch.setattr(native, "run_missing", "it was not built")
    monkeypatch.setattr(native, "run", None)
    assert native.c_summary() == "none: it was not built"
    monkeypatch.setattr(native, "run", Module)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libspikedrive.so").touch()
    assert (native.paths().include / "spikedrive.h").is_file()
    said = json.loads(command("doctor", "--json").out)["C library"]
    assert said == f"{tmp_path / 'lib'}; its header: {native.paths().include}"


def test_people_get_a_table(command: Command) -> None:
    lines = command("doctor").out.splitlines()
    assert lines[0].split() == ["what", "here"]
    assert any(line.startswith("python ") for line in lines)
