"""`spikedrive bench`: its table, its document, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cli.conftest import Command
from spikedrive import native
from spikedrive.cli import bench
from spikedrive.engine import load
from spikedrive.engine.measure import Subject
from spikedrive.models import create_model

needs_engine = pytest.mark.skipif(native.run is None, reason="the engine is missing")


@needs_engine
def test_a_model_by_its_name(command: Command, program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(program)
    asked: list[object] = []

    def made(name: str, density: float, **options: object) -> Subject:
        asked.extend((name, density, options))
        images = np.zeros((2, *loaded.input.shape), np.uint8)
        return Subject(
            name=name, weights="random", program=loaded, images=images, verdict="additive", asked=density,
            model=create_model("meta_spikeformer_nano", widths=[8, 16, 32], depths=[0, 0, 1]),
        )  # fmt: skip

    monkeypatch.setattr("spikedrive.engine.measure.random_subject", made)
    words = ("--density", 0.2, "--neuron", "ILIF", "--steps", 1, "--batch", 2, "--rounds", 2)
    answer = command("bench", "meta_spikeformer_nano", *words, "--against", "fp32,numpy")
    assert answer.code == 0
    options = asked[2]
    assert isinstance(options, dict)
    options.pop("progress")
    assert asked[:2] == ["meta_spikeformer_nano", 0.2]
    assert options == {"batch": 2, "weight_bits": 7, "dense_separable": False, "neuron": "ILIF", "steps": 1}
    lines = answer.out.splitlines()
    assert lines[0].split() == ["against", "form", "ours,", "ms", "theirs,", "ms", "ratio"]
    assert [line.split()[0] for line in lines[1:3]] == ["fp32", "numpy"]
    said = " ".join(lines[4:])
    assert "random weights; every threshold calibrated to density 0.2, on random bytes" in said
    assert "verdict additive; T = 1; weights of 8 bits; logits equal to the interpreter's" in said
    assert "batch 2, threads 1, 2 rounds, instruction set" in said
    assert answer.err.splitlines()[0] == "comparing with the interpreter ..."


@needs_engine
def test_a_run_keeps_its_own_density_on_its_own_images(
    command: Command, trained: Path, program: Path
) -> None:
    answer = command("bench", trained, "--rounds", 2, "--batch", 3, "--json")
    assert answer.code == 0
    (row,) = json.loads(answer.out)["rows"]
    assert row["weights"] == "trained" and row["asked_density"] is None and row["batch"] == 3
    assert row["against"] == "fp32" and row["exact"] is True and row["ratio"] > 0
    refused = command("bench", program, "--rounds", 1)
    assert refused.code == 2
    assert "measured on real ones. Name a data set or a folder behind it" in refused.err


@needs_engine
def test_a_program_is_measured_without_its_model(command: Command, program: Path, pictures: Path) -> None:
    answer = command("bench", program, pictures, "--rounds", 2, "--json")
    assert answer.code == 0
    (row,) = json.loads(answer.out)["rows"]
    assert row["against"] == "numpy" and row["verdict"] == "" and row["batch"] == 1
    many = command("bench", program, pictures, "--batch", 1000)
    assert many.code == 2
    assert "with 8 test images; it takes as many as a batch holds. Lower --batch." in many.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["meta_spikeformer_nono"], "no model, run, checkpoint or program named 'meta_spikeformer_nono'"),
        (["meta_spikeformer_nano", "--against", "fp32,fp33"], "There is no rival named 'fp33'"),
        (["meta_spikeformer_nano", "--density", "2"], "asked for the density 2; it is a share between 0 and 1"),
        (["meta_spikeformer_nano", "pictures"], "random weights are measured on random bytes"),
        (["m.sdx"], "There is no program at m.sdx; an .sdx file is needed"),
        (["run/", "--density", "0.1", "--steps", "2"], "run/ and --density, --steps; what is trained keeps its own"),
    ],
)  # fmt: skip
def test_what_it_cannot_measure_is_refused(command: Command, words: list[str], message: str) -> None:
    answer = command("bench", *words)
    assert answer.code == 2
    assert message in answer.err
    assert answer.out == ""


def test_integers_that_differ_are_exit_code_1(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    row = SimpleNamespace(
        exact=False, asked_density=0.1, verdict="", subject="m", against="fp32", form="fused, contiguous", steps=1,
        weight_bits=7, density=0.1, density_low=0.1, density_high=0.1, rate=0.1, batch=1, threads=1, rounds=1,
        isa="scalar", **{f"{who}_{key}": 1.0 for who in ("ours", "theirs") for key in ("ms", "low", "high")},
        ratio=1.0, ratio_low=1.0, ratio_high=1.0,
    )  # fmt: skip
    measured = "spikedrive.engine.measure"
    monkeypatch.setattr(f"{measured}.random_subject", lambda *_, **__: SimpleNamespace(model=object()))
    monkeypatch.setattr(f"{measured}.measure", lambda *_, **__: [row])
    monkeypatch.setattr(f"{measured}.to_dict", lambda _: {"machine": {"cpu": "a", "torch": "b"}})
    answer = command("bench", "meta_spikeformer_nano")
    assert answer.code == 1
    assert "logits UNLIKE the interpreter's" in answer.out


def test_an_instruction_set_is_forced_in_a_process_of_its_own(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], dict[str, str]]] = []

    def start(command: list[str], *, env: dict[str, str], check: bool) -> SimpleNamespace:
        seen.append((command, env))
        return SimpleNamespace(returncode=7)

    monkeypatch.setattr(bench.subprocess, "run", start)
    words = ("meta_spikeformer_nano", "--isa", "avx2", "--batch", "2", "--dense-separable", "--json")
    assert command("bench", *words).code == 7
    ((child, environment),) = seen
    assert child[1:5] == ["-m", "spikedrive", "bench", "meta_spikeformer_nano"]
    assert "--isa" not in child
    assert child[child.index("--batch") + 1] == "2"
    assert {"--dense-separable", "--json"} < set(child)
    assert environment["ATEN_CPU_CAPABILITY"] == "avx2"
    assert environment["SPIKEDRIVE_ISA"] == "avx2"


@needs_engine
def test_costs_are_measured_and_kept(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from spikedrive.engine.measure import calibration, costs

    monkeypatch.setenv("SPIKEDRIVE_CACHE", str(tmp_path))
    monkeypatch.setattr(calibration, "LAYERS", (calibration.Layer(16, 64, 8),))
    isa = native.engine_level()
    # few rounds
    monkeypatch.setattr(calibration, "LONGEST", 0)
    # calibrating mends a bad file
    costs.file_of(isa).write_text("{")
    answer = command("bench", "--calibrate", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["isa"] == isa and found["builtin"] == native.run.costs(isa) and found["worst"] >= 1
    assert Path(found["file"]) == costs.file_of(isa) and costs.in_use(isa) == found["costs"]
    assert json.loads(command("doctor", "--json").out)["engine costs"] == f"measured here, in {found['file']}"
    words = command("bench", "--calibrate").out.splitlines()
    assert words[0].split() == ["cost", "here,", "ns", "built", "in,", "ns"]
    assert [line.split()[0] for line in words[1 : len(found["costs"]) + 1]] == list(found["costs"])
    assert words[-1] == f"kept in {found['file']}; SPIKEDRIVE_COSTS=builtin ignores it"
    costs.file_of(isa).unlink()
    assert json.loads(command("doctor", "--json").out)["engine costs"].startswith(
        "built in; spikedrive bench"
    )


def test_calibrating_takes_nothing_beside_it(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for words, said in ((["m.sdx"], "m.sdx"), (["--batch", "2"], "--batch")):
        answer = command("bench", *words, "--calibrate")
        assert answer.code == 2
        assert f"got --calibrate and {said}; it takes --isa and --json beside it" in answer.err
    nothing = command("bench")
    assert nothing.code == 2
    assert (
        "got nothing to measure; it takes a model, run, checkpoint or program, or --calibrate" in nothing.err
    )
    monkeypatch.setattr(native, "run", None)
    monkeypatch.setattr(native, "run_missing", "it was not built")
    missing = command("bench", "--calibrate")
    assert missing.code == 2
    assert "got --calibrate; it takes a compiled engine, which is missing: it was not built" in missing.err
