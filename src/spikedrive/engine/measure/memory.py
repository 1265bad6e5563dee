"""How much memory a program takes, and how much its weights and live activations need.

Usage: python -m spikedrive.engine.measure.memory PROGRAM.sdx [BATCH] [THREADS]

prints both as JSON. It is a process of its own, since a high-water mark is one of a process; it imports no torch,
as a deployed program does not. It needs /proc, so Linux.
"""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from spikedrive import native
from spikedrive.engine.arithmetic import Add, Conv2d, Linear, Scale, Shift
from spikedrive.engine.ir import Neuron, Value
from spikedrive.engine.layout import Reshape
from spikedrive.engine.runtime import Program, load

SAME_MEMORY = (Reshape, Scale)
"""Operations whose result is their input under another name."""
SUMS, TAKERS = (Conv2d, Linear, Add, Shift), (Add, Shift, Neuron)
"""Operations whose result may go over into the next place by place, and those that take it so."""


def needed(program: Program, batch: int) -> dict[str, int]:
    """Bytes of the arrays that the operations hold, and the most bytes of tensors that are alive at once.

    A tensor lives from its operation to the last that reads it, in the fewest bytes that hold its bounds; one of
    0 and 1 takes a bit a value. A sum that one operation reads, which adds to it or fires on it where it stands, can go
    over into that one place by place: it takes no memory, and what it is summed from lives until then.
    """
    weights = sum(
        value.nbytes
        for op in program.ops
        for value in (getattr(op, field.name) for field in dataclasses.fields(op))
        if isinstance(value, np.ndarray)
    )
    readers = [(name, op) for op in program.ops for name in op.inputs]
    counts = Counter(name for name, _ in readers)
    passing = {op.name for op in program.ops if isinstance(op, SUMS) and counts[op.name] == 1}
    goes_to = {name: op.name for name, op in readers if name in passing and isinstance(op, TAKERS)}
    ends = {op.name: place for place, op in enumerate(program.ops)}
    for name in reversed(list(goes_to)):
        ends[name] = ends[goes_to[name]]
    owner: dict[str, str] = {}
    last: dict[str, int] = {}
    for op in program.ops:
        owner[op.name] = owner[op.inputs[0]] if isinstance(op, SAME_MEMORY) else op.name
        for name in (*op.inputs, op.name):
            last[owner[name]] = max(last.get(owner[name], 0), ends[op.name])
    sizes = {
        name: 0 if name in goes_to else size_of(program.values[name], batch) for name in set(owner.values())
    }
    alive, most = 0, 0
    for place, op in enumerate(program.ops):
        if owner[op.name] == op.name:
            alive += sizes[op.name]
            most = max(most, alive)
        alive -= sum(sizes[name] for name, end in last.items() if end == place)
    return {"weights": weights, "activations": most}


def size_of(value: Value, batch: int) -> int:
    """Bytes of one tensor in the fewest that hold its bounds."""
    count = math.prod(value.shape) * value.steps * batch
    if (value.low, value.high) in ((0, 1), (0, 0)):
        return -(-count // 8)
    bits = max(value.high, -value.low - 1).bit_length() + (value.low < 0)
    return count * next(size for size in (1, 2, 4, 8) if bits <= 8 * size)


def peak(path: Path, batch: int = 1, threads: int = 1) -> dict[str, int]:
    """Bytes by which loading the program and running it three times raises this process's high-water mark.

    *Shapes*: it runs on random bytes, which are there before.
    """
    one = load(path)
    lead = (one.input.steps, batch) if one.input.steps > 1 else (batch,)
    images = np.random.default_rng(0).integers(0, 256, (*lead, *one.input.shape), dtype=np.uint8)
    expected = needed(one, batch)
    del one
    # what was freed leaves the process before the mark is set anew, or the program would find it there for nothing
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _kilobytes("VmRSS")
    program = load(path)
    for _ in range(3):
        program.run(images, runtime="native", threads=threads, batch=batch)
    return {"peak": 1024 * (_kilobytes("VmHWM") - before), **expected}


def _kilobytes(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def main(words: list[str]) -> dict[str, Any]:
    """The figures that the command line asks for."""
    path, *numbers = words
    batch, threads = (int(number) for number in (*numbers, "1", "1")[:2])
    return {
        **peak(Path(path), batch, threads),
        "batch": batch,
        "threads": threads,
        "isa": native.engine_level(),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1:])) + "\n")
