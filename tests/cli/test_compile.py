"""From a run to a program, and the program on images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cli.conftest import Command
from spikedrive.data import decode
from spikedrive.engine import load


def test_every_integer_is_compared_on_request(
    command: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "m.sdx"
    answer = command("compile", trained, "-o", out, "--verify", pictures, "--samples", 4, "--json")
    assert answer.code == 0
    said = json.loads(answer.out)
    assert said["program"] == str(out)
    assert said["images"] == 4
    assert said["equal"] is True
    assert said["integers"] > 1000


def test_infer_answers_for_files_folders_and_arrays(
    command: Command, program: Path, pictures: Path, tmp_path: Path
) -> None:
    folder = pictures / "test" / "dark"
    files = sorted(folder.iterdir())
    from_folder = json.loads(command("infer", program, folder, "--json", "--top", 2).out)
    assert [a["image"] for a in from_folder] == [str(f) for f in files]
    assert sorted(from_folder[0]["names"]) == ["dark", "light"]
    array = tmp_path / "images.npy"
    np.save(array, np.stack([decode(f, (28, 28), 1) for f in files]))
    from_array = json.loads(command("infer", program, array, "--json", "--top", 2).out)
    assert [a["scores"] for a in from_array] == [a["scores"] for a in from_folder]
    assert from_array[1]["image"] == f"{array}[1]"
    assert len(command("infer", program, files[0]).out.splitlines()) == 2


@pytest.mark.parametrize("what", ["array", "pictures"])
def test_infer_does_not_import_torch(program: Path, pictures: Path, tmp_path: Path, what: str) -> None:
    array = tmp_path / "images.npy"
    np.save(array, np.zeros((1, *load(program).input.shape), np.uint8))
    words = ["infer", str(program), str(array if what == "array" else pictures / "test")]
    code = f"import sys, spikedrive.cli as c; code = c.main({words}); sys.exit(code or 3 * ('torch' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_program_agrees_with_the_model_on_what_it_learned(
    command: Command, trained: Path, program: Path, pictures: Path
) -> None:
    files = sorted((pictures / "test").rglob("*.png"))
    from_model = json.loads(command("predict", trained, *files, "--json", "--top", 1).out)
    from_program = json.loads(command("infer", program, *files, "--json").out)
    same = [a["names"] == b["names"] for a, b in zip(from_model, from_program, strict=True)]
    assert sum(same) >= len(files) - 1
