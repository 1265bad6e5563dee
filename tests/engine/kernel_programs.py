"""Random programs of the kinds, weights and thresholds that the compiled kernels take."""

from __future__ import annotations

import numpy as np

from spikedrive.engine.arithmetic import (
    Add,
    Conv2d,
    Linear,
    MatMul,
    MaxPool2d,
    Multiply,
    Scale,
    Shift,
    Sum,
    SumSteps,
)
from spikedrive.engine.ir import Input, Neuron, Op, check
from spikedrive.engine.layout import Concat, Pad, Permute, Reshape, Slice
from spikedrive.errors import ShapeError

KINDS = (
    *["conv"] * 5, *["fire"] * 5, *["add"] * 3, "linear", "linear", "multiply", "matmul", "shift", "scale",
    "sum", "steps", "pool", "reshape", "permute", "permute", "slice", "concat", "pad",
)  # fmt: skip


def weights(rng: np.random.Generator, *shape: int) -> dict[str, np.ndarray]:
    most = int(rng.choice([3, 63, 127]))
    bias = rng.integers(-2000, 2000, shape[0]).astype(np.int32)
    return {
        "weight": rng.integers(-most - (most == 127), most + 1, shape).astype(np.int8),
        "shift": rng.integers(0, 4, shape[0]).astype(np.int8),
        "bias": bias if len(shape) == 2 else bias[:, None, None],
    }


def neuron(rng: np.random.Generator, name: str, of: str, peak: int, steps: int) -> Neuron:
    """Any neuron, with thresholds that what comes in reaches."""
    decay, carry, repeats = int(rng.integers(0, 3)), bool(rng.integers(2)), int(rng.choice([1, 1, 1, 2]))
    fraction = decay * repeats * (steps if carry else 1)
    rungs = int(rng.choice([1, 1, 1, 4]))
    unit = max(1, int(rng.integers(1, max(2, peak // 4)))) << fraction
    return Neuron(
        name=name, inputs=(of,), ladder=tuple(unit * (k + 1) for k in range(rungs)), threshold=unit, steps=steps,
        hard=bool(rng.integers(2)), rest=int(rng.choice([0, 0, -(unit // 2)])), decay=decay,
        decay_input=bool(rng.integers(2)), carry=carry, repeats=repeats, fraction=fraction,
    )  # fmt: skip


def random_program(seed: int, length: int = 14) -> list[Op]:
    """Operations of every kind in a random order, with the 8-bit weights and reached thresholds that kernels take."""
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(1, 4))
    channels, height, width = (int(n) for n in rng.integers(1, 9, 3))
    ops: list[Op] = [
        Input(name="x", inputs=(), shape=(channels, height, width), steps=int(rng.choice([1, steps])))
    ]
    for n in range(1, length * 4):
        if len(ops) == length:
            break
        values = check(ops)
        # what was made last is read most
        of = ops[-1].name if rng.random() < 0.6 else str(rng.choice([op.name for op in ops]))
        beside = str(rng.choice([op.name for op in ops]))
        try:
            op = _random_op(rng, f"y{n}", of, beside, values, steps)
            if op is not None and check([*ops, op])[op.name].peak < 2**50:
                ops.append(op)
        except ShapeError:
            pass
    return ops


def _random_op(
    rng: np.random.Generator, name: str, of: str, beside: str, values: dict[str, Value], steps: int
) -> Op | None:
    x = values[of]
    rank = len(x.shape)
    axis = int(rng.integers(max(rank, 1)))
    kind = str(rng.choice(KINDS))
    inputs, exponent = (of,), x.exponent
    if kind == "conv" and rank == 3:
        outputs, groups = int(rng.choice([1, 5, 16, 70, 130])), 1
        if rng.random() < 0.3:
            groups = outputs = x.shape[0]
        kernel = tuple(int(k) for k in rng.integers(1, 4, 2))
        return Conv2d(
            name=name, inputs=inputs, exponent=exponent, groups=groups,
            **weights(rng, outputs, x.shape[0] // groups, *kernel), stride=(int(rng.choice([1, 1, 2])),) * 2,
            padding=tuple(int(p) for p in rng.integers(0, 3, 2)), dilation=(int(rng.choice([1, 1, 1, 2])),) * 2,
        )  # fmt: skip
    if kind == "fire":
        return neuron(rng, name, of, max(1, x.magnitude), steps)
    if kind == "linear" and rank:
        outputs = int(rng.choice([1, 10, 64, 140]))
        return Linear(name=name, inputs=inputs, exponent=exponent, **weights(rng, outputs, x.shape[-1]))
    if kind == "reshape" and rank:
        size = int(np.prod(x.shape))
        first = int(rng.choice([d for d in range(1, size + 1) if size % d == 0]))
        return Reshape(
            name=name,
            inputs=inputs,
            shape=(first, size // first) if rng.random() < 0.7 else (size // first, 1, first),
        )
    if kind == "pool" and rank >= 2:
        return MaxPool2d(name=name, inputs=inputs, kernel=(2, 3), stride=(2, 1), padding=(1, 1))
    if kind == "slice" and rank:
        start = int(rng.integers(x.shape[axis]))
        return Slice(
            name=name,
            inputs=inputs,
            axis=axis,
            start=start,
            stop=int(rng.integers(start + 1, x.shape[axis] + 1)),
        )
    simple = {
        "add": lambda: Add(name=name, inputs=(of, beside)),
        "multiply": lambda: Multiply(name=name, inputs=(of, beside)),
        "matmul": lambda: MatMul(name=name, inputs=(of, beside)),
        "shift": lambda: Shift(name=name, inputs=inputs, left=int(rng.integers(0, 5))),
        "scale": lambda: Scale(name=name, inputs=inputs, power=0),
        "sum": lambda: Sum(name=name, inputs=inputs, axes=(axis,), keep=bool(rng.integers(2))),
        "steps": lambda: SumSteps(name=name, inputs=inputs, steps=steps),
        "permute": lambda: Permute(
            name=name, inputs=inputs, axes=tuple(int(a) for a in rng.permutation(rank))
        ),
        "concat": lambda: Concat(name=name, inputs=(of, beside), axis=axis),
        "pad": lambda: Pad(name=name, inputs=inputs, widths=((1, 2),) * rank, value=int(rng.integers(-2, 3))),
    }
    return simple[kind]() if kind in simple else None


def images_for(ops: list[Op], seed: int, batch: int = 3) -> np.ndarray:
    value = check(ops)["x"]
    return np.random.default_rng(seed).integers(0, 256, (value.steps, batch, *value.shape), np.uint8)
