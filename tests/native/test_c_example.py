"""The C example, built against the installed header and library: Python's integers, and reasons for what it refuses."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.programs import pixels, small_program
from engine.test_native_loader import framed, header_of
from spikedrive import native
from spikedrive.engine import pack
from spikedrive.engine.arithmetic import Conv2d, Sum
from spikedrive.engine.ir import Input
from spikedrive.engine.layout import Concat
from spikedrive.engine.runtime import Program

ROOT = Path(__file__).resolve().parents[2]
STRICTLY = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic")


@pytest.fixture(scope="module")
def paths(require: Callable[[bool, str], None]) -> native.Paths:
    require(not native.c_summary().startswith("none"), "the C library (install spikedrive again)")
    return native.paths()


@pytest.fixture(scope="module")
def example(
    paths: native.Paths, require: Callable[[bool, str], None], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    require(shutil.which("gcc") is not None, "a C compiler (on Debian: apt-get install gcc)")
    program = tmp_path_factory.mktemp("c") / "run"
    folders = (f"-I{paths.include}", f"-L{paths.library}", f"-Wl,-rpath,{paths.library}")
    source = ROOT / "examples" / "c" / "run.c"
    subprocess.run(["gcc", *STRICTLY, str(source), *folders, "-lspikedrive", "-o", str(program)], check=True)
    return program


def answer(example: Path, *words: Path) -> tuple[int, str]:
    """The exit code, and what it printed or why it failed."""
    done = subprocess.run([str(example), *map(str, words)], capture_output=True, text=True)
    assert bool(done.stderr) == (done.returncode != 0)
    return done.returncode, done.stdout or done.stderr


def test_it_prints_the_logits_of_python(example: Path, tmp_path: Path) -> None:
    program = small_program()
    program.save(tmp_path / "small.sdx")
    for seed in range(3):
        image = pixels(1, seed)
        image.tofile(tmp_path / "image.raw")
        code, text = answer(example, tmp_path / "small.sdx", tmp_path / "image.raw")
        assert code == 0
        result = program.run(image, runtime="numpy")
        rows = [line.removeprefix("*").split() for line in text.splitlines()]
        assert [(name, int(logit)) for name, logit, _ in rows] == [
            *zip(program.meta.class_names, result.logits_int[0], strict=True)
        ]
        assert [float(real) for *_, real in rows] == pytest.approx(result.logits[0], rel=1e-5)
        assert [line.startswith("*") for line in text.splitlines()].index(True) == result.predictions[0]


@pytest.mark.parametrize(("kind", "channels"), [(5, 1), (6, 3)])
def test_it_reads_grey_and_coloured_pictures(example: Path, tmp_path: Path, kind: int, channels: int) -> None:
    weight = np.random.default_rng(0).integers(-99, 99, (4, channels, 5, 7), np.int8)
    zeros = np.zeros(4, np.int8)
    ops = [
        Input(name="x", inputs=(), shape=(channels, 5, 7)),
        Conv2d(name="y", inputs=("x",), weight=weight, shift=zeros, bias=zeros[:, None, None], exponent=-3),
        Sum(name="z", inputs=("y",), axes=(1, 2)),
    ]  # fmt: skip
    program, image = Program(ops), pixels(1, 1, (channels, 5, 7))
    program.save(tmp_path / "p.sdx")
    colours_last = np.ascontiguousarray(image[0].transpose(1, 2, 0))
    (tmp_path / "image").write_bytes(b"P%d\n7 5\n255\n" % kind + colours_last.tobytes())
    code, text = answer(example, tmp_path / "p.sdx", tmp_path / "image")
    assert code == 0
    logits = [int(line.removeprefix("*").split()[0]) for line in text.splitlines()]
    assert logits == program.run(image).logits_int[0].tolist()
    for other in (b"P%d\n5 7\n255\n" % kind, b"P%d\n7 5\n65535\n" % kind, b"P3\n7 5\n255\n"):
        (tmp_path / "image").write_bytes(other + colours_last.tobytes())
        assert answer(example, tmp_path / "p.sdx", tmp_path / "image") == (
            2, "error: the picture is missing, or not of the program's size\n"
        )  # fmt: skip


def test_what_is_no_program_is_refused_with_the_reason(example: Path, tmp_path: Path) -> None:
    data = pack.dump({}, small_program().ops)
    flipped = bytearray(data)
    flipped[200] ^= 1
    header, body = header_of(data)
    header["ops"][1]["stride"] = [0, 1]
    two = [Input(name=name, inputs=(), shape=(2,)) for name in "ab"]
    names, arrays = header_of(data)
    names["meta"] = {"class_names": ["a", 1]}
    cases = {
        "truncated": (data[:-1], r"says it has"),
        "flipped": (bytes(flipped), r"SHA-256 does not match"),
        "empty": (b"", r"is empty"),
        "newer": (pack.MAGIC + struct.pack("<I", 3) + bytes(99), r"of version 3"),
        "hostile": (framed(json.dumps(header).encode(), body), r"strides, dilations and kernels"),
        "two inputs": (pack.dump({}, [*two, Concat(name="c", inputs=("a", "b"), axis=0)]), r"2 inputs"),
        "no operations": (pack.dump({}, []), r"0 inputs"),
        "names": (framed(json.dumps(names).encode(), arrays), r"class_names that are no names"),
    }
    image = tmp_path / "image.raw"
    pixels(1).tofile(image)
    for name, (content, reason) in cases.items():
        path = tmp_path / f"{name}.sdx"
        path.write_bytes(content)
        code, text = answer(example, path, image)
        assert code == 2 and reason in text, (name, text)
        assert text.startswith("error: ") and text.rstrip().endswith(".")
    for path, reason in ((tmp_path / "none.sdx", "No such file"), (tmp_path, "Is a directory")):
        code, text = answer(example, path, image)
        assert code == 2 and reason in text and "a file that may be read is needed. Check the path." in text


def test_it_stays_within_its_sixty_lines() -> None:
    text = (ROOT / "examples" / "c" / "run.c").read_text(encoding="utf-8")
    count = len(text.splitlines())
    assert count <= 60
    assert f"a whole program of {count} lines" in (ROOT / "docs" / "how-to" / "deploy.md").read_text(
        encoding="utf-8"
    )
