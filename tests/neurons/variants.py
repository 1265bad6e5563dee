"""Every variant of every registered neuron, from the files in cases/: a new neuron brings its own."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import torch

from spikedrive.neurons import Neuron, get_neuron
from spikedrive.ops.domains import NEURON_OPS

VARIANTS: dict[str, list[dict]] = {}
# the axes after (T, B) of neurons that are bound to a size
SHAPES: dict[str, tuple[int, ...]] = {}
for _file in sorted((Path(__file__).parent / "cases").glob("*.py")):
    _case = runpy.run_path(str(_file))
    VARIANTS |= _case["VARIANTS"]
    SHAPES |= _case.get("SHAPES", {})

CASES = [(name, i) for name, variants in VARIANTS.items() for i in range(len(variants))]
# for what takes seconds and no argument changes
FIRST = [case for case in CASES if case[1] == 0]


def make(name: str, i: int) -> Neuron:
    """The same one every time."""
    torch.manual_seed(0)
    return get_neuron(name)(**VARIANTS[name][i])


class Calls(torch.overrides.TorchFunctionMode):
    """Notes each call of a neuron operation."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[torch._ops.OpOverload, tuple[Any, ...]]] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        op = func.default if isinstance(func, torch._ops.OpOverloadPacket) else func
        if str(op) in NEURON_OPS:
            self.seen.append((op, args))
        return func(*args, **(kwargs or {}))
