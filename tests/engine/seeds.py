"""Program files that together hold every operation: for the tests and the fuzzing of loaders."""

from __future__ import annotations

import numpy as np

from engine.programs import small_program
from spikedrive.engine import pack
from spikedrive.engine.arithmetic import (
    Add,
    Conv2d,
    Embedding,
    Linear,
    MatMul,
    MaxPool2d,
    Multiply,
    Scale,
    Shift,
    Sum,
    SumSteps,
)
from spikedrive.engine.ir import Input, Neuron, Op
from spikedrive.engine.layout import Concat, Pad, Permute, Reshape, Slice


def vision() -> list[Op]:
    """Grouped convolution, pooling and a shortcut, with arrays of every width: 2 x 6 x 6 to three classes."""
    rng = np.random.default_rng(1)
    weight = rng.integers(-127, 128, (4, 1, 3, 2))
    zeros = np.zeros(3, np.int64)
    return [
        Input(name="x", inputs=(), shape=(2, 6, 6)),
        Conv2d(name="conv", inputs=("x",), module="stem.conv", exponent=-6, groups=2, dilation=(1, 2),
               padding=(1, 1), weight=weight.astype(np.int16), shift=np.array([0, 3, 1, 2], np.int64),
               bias=rng.integers(-99, 99, (4, 1, 1)).astype(np.int8)),
        MaxPool2d(name="pool", inputs=("conv",), kernel=(2, 3), stride=(2, 3), padding=(1, 1)),
        Neuron(name="fire", inputs=("pool",), module="stem.neuron", ladder=(500, 900, 900), threshold=400, steps=3,
               rest=-7, repeats=2, exponent=1),
        Shift(name="shift", inputs=("fire",), left=2),
        Scale(name="scale", inputs=("shift",), power=-3),
        Pad(name="pad", inputs=("scale",), widths=((0, 0), (1, 0), (2, 1)), value=-5),
        Slice(name="slice", inputs=("pad",), axis=2, start=1, stop=4),
        Concat(name="concat", inputs=("slice", "slice"), axis=1),
        Sum(name="mean", inputs=("concat",), axes=(2, 1), mean=True),
        SumSteps(name="steps", inputs=("mean",), steps=3),
        Linear(name="head", inputs=("steps",), module="head", exponent=-9, shift=zeros.astype(np.int16), bias=zeros,
               weight=rng.integers(-(2**18), 2**18, (3, 4)).astype(np.int32)),
        Multiply(name="logits", inputs=("head", "head")),
    ]  # fmt: skip


def attention() -> list[Op]:
    """Q (K^T V), a gate, and a leaky neuron with a soft reset that carries its membrane: 3 x 4 to three numbers."""
    rng = np.random.default_rng(2)
    eye, zeros = rng.integers(-9, 9, (4, 4)).astype(np.int8), np.zeros(4, np.int8)
    linear = {"exponent": 0, "weight": eye, "shift": zeros, "bias": zeros}
    fire = {
        "ladder": (3 << 4, 9 << 4),
        "threshold": 3 << 4,
        "steps": 4,
        "decay": 1,
        "carry": True,
        "fraction": 4,
    }
    return [
        Input(name="x", inputs=(), shape=(3, 4), steps=4),
        Linear(name="q", inputs=("x",), **linear),
        Neuron(name="q.fire", inputs=("q",), **fire),
        Permute(name="k^T", inputs=("q.fire",), axes=(1, 0)),
        MatMul(name="k^T v", inputs=("k^T", "q.fire")),
        MatMul(name="qkv", inputs=("q.fire", "k^T v")),
        Sum(name="total", inputs=("q.fire",), axes=(1,), keep=True),
        Multiply(name="gated", inputs=("qkv", "total")),
        Add(name="added", inputs=("gated", "qkv")),
        Reshape(name="flat", inputs=("added",), shape=(12,)),
        SumSteps(name="all", inputs=("flat",), steps=4, mean=True),
        Slice(name="logits", inputs=("all",), axis=0, start=0, stop=3),
    ]


def language() -> list[Op]:
    """Token ids of more than a byte, a table and a shortcut between membranes: 2 tokens a step to three numbers."""
    rng = np.random.default_rng(3)
    table, shift = rng.integers(-127, 128, (300, 4)).astype(np.int16), np.array([0, 5, 2, 0], np.int8)
    mix, zeros = rng.integers(-99, 99, (4, 4)).astype(np.int8), np.zeros(4, np.int8)
    fire = {
        "ladder": (300 << 2,),
        "threshold": 300 << 2,
        "steps": 2,
        "decay": 1,
        "carry": True,
        "fraction": 2,
    }
    return [
        Input(name="ids", inputs=(), shape=(2,), steps=2, high=299),
        Embedding(name="rows", inputs=("ids",), module="embedding", weight=table, shift=shift, exponent=-4),
        Neuron(name="fire", inputs=("rows",), **fire),
        Linear(name="mix", inputs=("fire",), weight=mix, shift=shift, bias=zeros, exponent=-4),
        Add(name="sum", inputs=("rows", "mix")),
        Neuron(name="again", inputs=("sum",), **fire),
        Sum(name="both", inputs=("again",), axes=(0,)),
        SumSteps(name="all", inputs=("both",), steps=2),
        Slice(name="logits", inputs=("all",), axis=0, start=1, stop=4),
    ]


def seeds() -> dict[str, bytes]:
    """Names to the bytes of `.sdx` files."""
    small = small_program()
    return {
        "small": pack.dump({"model": "small", "class_names": ["a", "ç"], "mean": [0.5, 1e-05]}, small.ops),
        "vision": pack.dump({}, vision()),
        "attention": pack.dump({"none": None, "deep": [[{}]]}, attention()),
        "language": pack.dump({}, language()),
    }
