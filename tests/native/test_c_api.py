"""The C library, called through its C interface: Python's integers from any thread, and no way to end the process."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spikedrive
from engine.programs import pixels, small_program
from engine.seeds import attention, language
from spikedrive import native
from spikedrive.engine import pack
from spikedrive.engine.arithmetic import Embedding
from spikedrive.engine.runtime import Program


@pytest.fixture(scope="module")
def library(require: Callable[[bool, str], None]) -> ctypes.CDLL:
    require(not native.c_summary().startswith("none"), "the C library (install spikedrive again)")
    (path,) = native.paths().library.glob("libspikedrive.*")
    library = ctypes.CDLL(str(path))
    for name in ("load", "read"):
        getattr(library, f"spikedrive_{name}").restype = ctypes.c_void_p
    for name in ("steps", "axes", "size", "largest", "sample_bytes", "outputs"):
        getattr(library, f"spikedrive_{name}").restype = ctypes.c_int64
    for name in ("version", "class_name", "instruction_set"):
        getattr(library, f"spikedrive_{name}").restype = ctypes.c_char_p
    library.spikedrive_scale.restype = ctypes.c_double
    return library


class Loaded:
    """A program of the C library."""

    def __init__(self, library: ctypes.CDLL, data: bytes) -> None:
        self.library, self.message = library, ctypes.create_string_buffer(400)
        handle = library.spikedrive_read(data, ctypes.c_size_t(len(data)), self.message, ctypes.c_size_t(400))
        self.handle = ctypes.c_void_p(handle)

    def ask(self, name: str, *arguments: int) -> Any:
        return getattr(self.library, f"spikedrive_{name}")(self.handle, *map(ctypes.c_int64, arguments))

    def call(
        self,
        images: np.ndarray | None,
        batch: int,
        threads: int,
        logits: np.ndarray,
        predictions: np.ndarray | None = None,
    ) -> str:
        """The message; empty where it ran."""
        pointers = [
            None if a is None else ctypes.c_void_p(a.ctypes.data) for a in (images, logits, predictions)
        ]
        message = ctypes.create_string_buffer(400)
        code = self.library.spikedrive_run(
            self.handle,
            pointers[0],
            ctypes.c_int64(batch),
            threads,
            *pointers[1:],
            message,
            ctypes.c_size_t(400),
        )
        assert code == (-1 if message.value else 0)
        return message.value.decode()

    def run(self, images: np.ndarray, batch: int, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
        logits, predictions = np.full((batch, self.ask("outputs")), -1), np.full(batch, -1)
        assert self.call(images, batch, threads, logits, predictions) == ""
        return logits, predictions

    def close(self) -> None:
        self.library.spikedrive_free(self.handle)


def test_it_says_what_a_program_takes_and_gives(library: ctypes.CDLL) -> None:
    program = small_program()
    loaded = Loaded(library, pack.dump({"class_names": ["a", "ç"]}, program.ops))
    assert loaded.message.value == b""
    assert [loaded.ask(name) for name in ("steps", "axes", "largest", "sample_bytes", "outputs")] == [
        1,
        3,
        255,
        60,
        3,
    ]
    assert [loaded.ask("size", axis) for axis in (-1, 0, 1, 2, 3)] == [0, 2, 6, 5, 0]
    assert loaded.ask("scale") == program.output.scale
    names = [loaded.ask("class_name", k) for k in (-1, 0, 1, 2)]
    assert names == [None, b"a", "ç".encode(), None]
    assert loaded.ask("instruction_set").decode() == native.engine_level()
    assert library.spikedrive_version().decode() == spikedrive.__version__
    loaded.close()
    library.spikedrive_free(None)


def test_batches_and_sequences_give_the_integers_of_python(library: ctypes.CDLL) -> None:
    small, sequence = small_program(), Program(attention())
    for program, images in (
        (small, pixels(7)),
        (sequence, np.random.default_rng(0).integers(0, 256, (4, 5, 3, 4), np.uint8)),
    ):
        loaded = Loaded(library, pack.dump({}, program.ops))
        batch, result = images.shape[program.input.steps > 1], program.run(images, runtime="numpy")
        for threads in (0, 1, 2):
            logits, predictions = loaded.run(images, batch, threads)
            assert np.array_equal(logits, result.logits_int)
            assert np.array_equal(predictions, result.predictions)
        loaded.close()


@pytest.mark.parametrize(("rows", "kind"), [(10, np.uint8), (300, np.int32)])
def test_tokens_are_held_to_their_table(library: ctypes.CDLL, rows: int, kind: type) -> None:
    first, table, *rest = language()
    assert isinstance(table, Embedding)
    ops = [replace(first, high=rows - 1), replace(table, weight=table.weight[:rows]), *rest]
    program = Program(ops)
    loaded = Loaded(library, pack.dump({}, ops))
    ids = np.random.default_rng(0).integers(0, rows, (2, 4, 2)).astype(kind)
    assert (loaded.ask("largest"), loaded.ask("sample_bytes")) == (rows - 1, ids.nbytes // 4)
    assert np.array_equal(loaded.run(ids, 4)[0], program.run(ids, runtime="numpy").logits_int)
    for wrong in (rows, -1) if kind == np.int32 else (rows,):
        ids[1, 3, 1] = wrong
        assert loaded.call(ids, 4, 1, np.zeros((4, 3), np.int64)) == (
            f"spikedrive_run got the integer {wrong}; it takes 0 to {rows - 1}, the rows of the program's table. "
            "Use the tokeniser that the model was trained with."
        )


def test_threads_of_the_caller_share_a_program(library: ctypes.CDLL) -> None:
    program = small_program()
    loaded = Loaded(library, pack.dump({}, program.ops))
    batches = [pixels(4, seed) for seed in range(64)]
    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(lambda images: loaded.run(images, 4)[0], batches)]
    loaded.close()
    assert np.array_equal(np.concatenate(answers), program.run(np.concatenate(batches)).logits_int)


def test_what_cannot_be_run_is_refused(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    data = pack.dump({}, small_program().ops)
    loaded, one, logits = Loaded(library, data), pixels(1), np.full((1, 3), 7)
    for batch in (-1, 2**62):
        message = loaded.call(one, batch, 1, logits)
        assert message.startswith(f"spikedrive_run got a batch of {batch}; it takes 0 to ")
        assert message.endswith(" samples of this program. Run fewer samples at a time.")
    for threads in (-1, 257):
        assert loaded.call(one, 1, threads, logits) == (
            f"spikedrive_run got {threads} threads; it takes 0 to 256. Give 0 for every core."
        )
    assert (logits == 7).all()
    assert loaded.call(one, 1, 1, logits) == "" and (logits != 7).any()
    assert loaded.run(pixels(0), 0)[0].shape == (0, 3)
    nothing = Loaded(library, b"")
    assert nothing.handle.value is None
    assert nothing.message.value.startswith(
        b"the bytes is no .sdx program: it is empty (0 bytes). An .sdx file"
    )
    for program, images in ((nothing, one), (loaded, None)):
        assert program.call(images, 1, 1, logits) == (
            "spikedrive_run got NULL; it takes a program, an input and room for logits. Give all three."
        )
    loaded.close()
    monkeypatch.setenv("SPIKEDRIVE_ISA", "abacus")
    other = Loaded(library, data)
    assert other.handle.value is None
    assert b"the instruction set 'abacus'; this machine has scalar" in other.message.value


def test_a_short_message_is_cut_between_characters(library: ctypes.CDLL, tmp_path: Path) -> None:
    path = str(tmp_path / "ç").encode()
    for room in (0, 1, 2, len(path), len(path) + 1, len(path) + 400):
        message = ctypes.create_string_buffer(b"x" * 999)
        assert library.spikedrive_load(path, message, ctypes.c_size_t(room)) is None
        whole = path + b" cannot be read as an .sdx program: No such file or directory; "
        said = message.raw[:room].split(b"\0")[0]
        assert said.decode() == whole[: len(said)].decode() or said.startswith(whole)
        assert len(said) >= min(room, len(whole)) - 2
        assert message.raw[room:] == b"x" * (999 - room) + b"\0"
    assert library.spikedrive_load(path, None, ctypes.c_size_t(99)) is None


RUN_OUT = """
import ctypes, mmap, resource, sys
path, program = sys.argv[1:]
library = ctypes.CDLL(path)
library.spikedrive_load.restype = ctypes.c_void_p
message = ctypes.create_string_buffer(400)
handle = ctypes.c_void_p(library.spikedrive_load(program.encode(), message, ctypes.c_size_t(400)))
batch = 10**6
images, logits = mmap.mmap(-1, 60 * batch), mmap.mmap(-1, 24 * batch)
here = [ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(m))) for m in (images, logits)]
size = int(open("/proc/self/statm").read().split()[0]) * mmap.PAGESIZE
resource.setrlimit(resource.RLIMIT_AS, (size + 2**23, resource.RLIM_INFINITY))
code = library.spikedrive_run(handle, here[0], ctypes.c_int64(batch), 1, here[1], None, message, ctypes.c_size_t(400))
print(code, message.value.decode())
code = library.spikedrive_run(handle, here[0], ctypes.c_int64(3), 1, here[1], None, message, ctypes.c_size_t(400))
print(code, message.value.decode())
"""


def test_memory_that_runs_out_is_an_error_after_which_it_goes_on(
    library: ctypes.CDLL, tmp_path: Path
) -> None:
    small_program().save(tmp_path / "small.sdx")
    command = [sys.executable, "-c", RUN_OUT, library._name, str(tmp_path / "small.sdx")]
    done = subprocess.run(command, capture_output=True, text=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("-1 spikedrive got no memory from the system; ")
    assert first.endswith("Run fewer samples at a time.")
    assert second == "0 "
