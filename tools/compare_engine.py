"""Build the engine without Python for another processor, and compare its integers with the interpreter's.

Usage: python tools/compare_engine.py [here | arm64 | sanitizers]

Random programs of every operation are written with what the interpreter gives, and run at every instruction set.
`arm64` cross-compiles for 64-bit ARM and runs in an emulator, `here` takes this machine's own compiler, `sanitizers`
that one with the sanitizers of addresses and of undefined behaviour. Where a program for that is missing it says so and
passes, and fails under SPIKEDRIVE_STRICT=1.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests")]

from compare_isas import TARGETS, build  # noqa: E402

from engine import kernel_programs, random_programs  # noqa: E402
from spikedrive.engine import pack  # noqa: E402
from spikedrive.engine.interpreter import interpret  # noqa: E402
from spikedrive.engine.ir import Input, Op, check  # noqa: E402

PROGRAMS = 24
"""Of the kinds that kernels run; a third as many with integers of up to 64 bits."""


def main(target: str) -> int:
    """The exit code of the comparison."""
    if target not in TARGETS:
        print(f"compare_engine.py got {target!r}; it takes {', '.join(TARGETS)}. Name one.", file=sys.stderr)
        return 2
    start = time.monotonic()
    command = build(target, "run_sdx", "engine")
    if isinstance(command, int):
        return command
    compiled = time.monotonic() - start
    with tempfile.TemporaryDirectory() as folder:
        for number, ops in enumerate(programs()):
            write(Path(folder) / str(number), ops, number)
        code = subprocess.run([*command, folder, *TARGETS[target]]).returncode
    print(f"engine of {target}: {compiled:.0f} s to compile, {time.monotonic() - start:.0f} s in all")
    return code


def programs() -> Iterator[list[Op]]:
    """What is run; the same each time."""
    for seed in range(PROGRAMS):
        yield kernel_programs.random_program(seed)
    chance = random.Random(0)
    for _ in range(PROGRAMS // 3):
        yield random_programs.random_program(chance, 10)


def write(stem: Path, ops: list[Op], seed: int) -> None:
    """The program, images for it, and every tensor that the interpreter gives."""
    values = check(ops)
    (source,) = [op for op in ops if isinstance(op, Input)]
    shape = (source.steps, 2, *source.shape)
    images = np.random.default_rng(seed).integers(0, source.high, shape, source.dtype, endpoint=True)
    found = interpret(ops, values, images, {op.name for op in ops})
    stem.with_suffix(".sdx").write_bytes(pack.dump({}, ops))
    # wider integers than bytes are bytes of 32 bits each
    images.astype(np.uint8 if source.high < 256 else np.int32).tofile(stem.with_suffix(".images"))
    np.concatenate([found[op.name].astype(np.int64).ravel() for op in ops]).tofile(
        stem.with_suffix(".tensors")
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) == 2 else "here"))
