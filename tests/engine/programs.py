"""Small hand-built programs for the tests of the engine."""

from __future__ import annotations

import numpy as np

from spikedrive.engine.arithmetic import Conv2d, Linear, Sum, SumSteps
from spikedrive.engine.ir import Input, Neuron
from spikedrive.engine.runtime import Meta, Program


def small_program(seed: int = 0, *, steps: int = 2) -> Program:
    """Convolution, leaky neuron, pooled head: 2 x 6 x 5 pixels to three classes."""
    rng = np.random.default_rng(seed)
    ops = [
        Input(name="pixels", inputs=(), shape=(2, 6, 5)),
        Conv2d(
            name="stem", inputs=("pixels",), module="stem", exponent=-12, stride=(2, 1), padding=(1, 1),
            weight=rng.integers(-127, 128, (4, 2, 3, 3)).astype(np.int8), shift=np.array([0, 1, 2, 3], np.int8),
            bias=rng.integers(-500, 500, (4, 3, 5)).astype(np.int32),
        ),
        Neuron(
            name="fire", inputs=("stem",), module="neuron", ladder=(4096 << steps,), threshold=4096 << steps,
            hard=True, decay=1, decay_input=True, carry=True, fraction=steps, steps=steps,
        ),
        Sum(name="pooled", inputs=("fire",), axes=(1, 2), mean=True),
        Linear(
            name="head", inputs=("pooled",), module="head", exponent=-9, shift=np.zeros(3, np.int8),
            weight=rng.integers(-127, 128, (3, 4)).astype(np.int8), bias=rng.integers(-99, 99, 3).astype(np.int32),
        ),
        SumSteps(name="logits", inputs=("head",), steps=steps, mean=True),
    ]  # fmt: skip
    meta = Meta(
        model="small", class_names=("a", "b", "ç"), mean=(0.5, 0.5), std=(0.25, 0.25), source="0" * 64
    )
    return Program(ops, meta)


def pixels(count: int, seed: int = 0, shape: tuple[int, int, int] = (2, 6, 5)) -> np.ndarray:
    """Random images (count, C, H, W) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape)).astype(np.uint8)
