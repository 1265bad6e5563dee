"""The compiled engine gives the interpreter's integers: every tensor, every instruction set, any number of threads."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

from engine.kernel_programs import images_for, random_program, weights
from engine.programs import pixels, small_program
from engine.random_programs import random_program as random_wide_program
from spikedrive import native
from spikedrive.engine import pack
from spikedrive.engine.arithmetic import Conv2d, Linear, MatMul
from spikedrive.engine.interpreter import interpret
from spikedrive.engine.ir import Input, Neuron, Op, check
from spikedrive.engine.layout import Permute, Reshape, Slice
from spikedrive.engine.measure.choice import DENSE, LISTS, always
from spikedrive.errors import ConfigError, UnknownNameError

if native.run is None and os.environ.get("SPIKEDRIVE_STRICT") != "1":
    pytest.skip(f"the engine is missing: {native.run_missing}", allow_module_level=True)

LEVELS = native.run.levels()


def differences(
    ops: list[Op], images: np.ndarray, level: str, threads: int = 1, costs: dict[str, float] | None = None
) -> list[str]:
    """The operations whose tensors are not the interpreter's."""
    values = check(ops)
    names = [op.name for op in ops]
    wanted = interpret(ops, values, images, set(names))
    engine = native.run.Engine(pack.dump({}, ops), level, costs=costs or {})
    found = engine.run(images, images.shape[1], list(range(len(ops))), threads)
    # alone, the last one runs in stages that keep nothing on the way
    (last,) = engine.run(images, images.shape[1], [len(ops) - 1], threads)
    wrong = [name for name, got in zip(names, found, strict=True) if not np.array_equal(got, wanted[name])]
    return wrong + ([] if np.array_equal(last, wanted[names[-1]]) else ["the last one alone"])


@pytest.mark.parametrize("level", LEVELS)
def test_random_programs(level):
    kinds: set[str] = set()
    for seed in range(70):
        ops = random_program(seed)
        kinds |= {type(op).__name__ for op in ops}
        # as chosen, by lists and by dense tiles
        costs = ({}, always(LISTS), always(DENSE))[seed // 3 % 3]
        assert differences(ops, images_for(ops, seed), level, 1 + seed % 3, costs) == [], f"seed {seed}"
    assert len(kinds) == 17


@pytest.mark.parametrize("level", LEVELS)
def test_programs_with_integers_of_up_to_64_bits(level):
    for seed in range(40):
        ops = random_wide_program(random.Random(seed), 10)
        assert differences(ops, images_for(ops, seed), level) == [], f"seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_many_random_programs(level):
    for seed in range(1000, 6000):
        ops = random_program(seed, 25)
        assert differences(ops, images_for(ops, seed), level, threads=1 + seed % 3) == [], f"seed {seed}"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("fill", [0, 1, 255])
def test_what_never_and_what_always_fires(level, fill):
    rng = np.random.default_rng(0)
    ops = [
        Input(name="x", inputs=(), shape=(70, 9, 9)),
        Conv2d(name="y", inputs=("x",), exponent=0, padding=(1, 1), **weights(rng, 130, 70, 3, 3)),
        Neuron(name="s", inputs=("y",), ladder=(1,), threshold=1, steps=3, carry=True),
        Conv2d(name="z", inputs=("s",), exponent=0, padding=(1, 1), **weights(rng, 70, 130, 3, 3)),
    ]
    assert differences(ops, np.full((1, 2, 70, 9, 9), fill, np.uint8), level) == []


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("order", "most", "width"),
    [
        ("q (k^T v)", 1, 70),
        ("q (k^T v)", 1, 64),
        ("q (k^T v)", 40, 70),
        ("(v k^T) q", 1, 70),
        ("(v k^T) q", 4, 48),
        ("scores", 4, 70),
    ],
)
def test_products_of_spikes_by_head(level, order, most, width):
    # heads of 70 channels take two tiles; 40 x 40 leaves no byte for a second sum, and 270 tokens more than 16 bits
    heads, tokens = 2, 270
    ops: list[Op] = [Input(name="x", inputs=(), shape=(3 * heads * width, 15, 18))]
    for place, name in enumerate("qkv"):
        start = place * heads * width
        ops += [
            Slice(name=f"{name}.x", inputs=("x",), axis=0, start=start, stop=start + heads * width),
            Neuron(
                name=f"{name}.s",
                inputs=(f"{name}.x",),
                ladder=tuple(range(200, 200 + most)),
                threshold=0,
                steps=2,
            ),
            Reshape(name=f"{name}^T", inputs=(f"{name}.s",), shape=(heads, width, tokens)),
            Permute(name=name, inputs=(f"{name}^T",), axes=(0, 2, 1)),
        ]
    pair, last = {
        "q (k^T v)": (("k^T", "v"), ("q", "y")),
        "(v k^T) q": (("v^T", "k"), ("y", "q^T")),
        "scores": (("q", "k^T"), ("y", "v")),
    }[order]
    ops += [MatMul(name="y", inputs=pair), MatMul(name="z", inputs=last)]
    images = np.random.default_rng(0).integers(0, 256, (1, 1, 3 * heads * width, 15, 18), np.uint8)
    # what never fires and what always does
    images[:, :, :5], images[:, :, 5:9] = 0, 255
    assert differences(ops, images, level, threads=2) == []


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("most", [1, 20, 127])
def test_products_of_spikes_and_numbers_with_a_sign(level, most):
    # sums of 70 weights up to `most`: one byte, a few, or more than products of bytes take
    rng = np.random.default_rng(most)
    weight = rng.integers(-most, most + 1, (70, 70)).astype(np.int8)
    none = np.zeros(70, np.int8)
    ops = [
        Input(name="x", inputs=(), shape=(9, 70)),
        Neuron(name="s", inputs=("x",), ladder=(128,), threshold=128, steps=1),
        Linear(name="y", inputs=("s",), exponent=0, weight=weight, shift=none, bias=none.astype(np.int32)),
        Slice(name="rows", inputs=("s",), axis=1, start=3, stop=12),
        MatMul(name="z", inputs=("rows", "y")),
    ]
    images = rng.integers(0, 256, (1, 3, 9, 70), np.uint8)
    reached = int(np.abs(interpret(ops, check(ops), images, {"y"})["y"]).max())
    assert (reached <= 127, reached <= 4 * 127) == (most == 1, most < 127)
    assert differences(ops, images, level) == []


def test_a_program_runs_on_both(monkeypatch):
    program, images = small_program(), pixels(5)
    fast, slow = (
        program.run(images, runtime="native", neurons=True),
        program.run(images, runtime="numpy", neurons=True),
    )
    assert np.array_equal(fast.logits_int, slow.logits_int)
    for path, integers in slow.neurons.items():
        assert fast.neurons[path].dtype == integers.dtype and np.array_equal(fast.neurons[path], integers)
    for level in LEVELS:
        monkeypatch.setenv("SPIKEDRIVE_ISA", level)
        assert np.array_equal(program.run(images).logits_int, slow.logits_int)


def test_the_engine_refuses_images_of_another_size():
    program = small_program()
    engine = native.run.Engine(pack.dump({}, program.ops), LEVELS[0])
    with pytest.raises(ValueError, match=r"60 bytes for 2 samples.*it takes 120"):
        engine.run(pixels(1)[None], 2, [0], 1)
    with pytest.raises(ValueError, match=r"operation 99.*6 of them"):
        engine.run(pixels(1)[None], 1, [99], 1)


def test_an_empty_batch_has_the_right_shape():
    assert small_program().run(pixels(0), runtime="native").logits_int.shape == (0, 3)


def test_the_reference_can_be_asked_for(monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("spikedrive.engine.runtime.Engine.of", refuse)
    monkeypatch.setenv("SPIKEDRIVE_IMPL", "reference")
    assert small_program().run(pixels(2)).logits_int.shape == (2, 3)


def test_wrong_arguments_are_refused(monkeypatch):
    program = small_program()
    with pytest.raises(UnknownNameError, match=r"runtime.*native"):
        program.run(pixels(1), runtime="torch")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"threads=0; it takes 1 or more"):
        program.run(pixels(1), threads=0)
    monkeypatch.setenv("SPIKEDRIVE_ISA", "neon")
    if "neon" not in LEVELS:
        with pytest.raises(ConfigError, match=r"'neon'; the engine runs .*scalar"):
            program.run(pixels(1), runtime="native")
    monkeypatch.setattr(native, "run", None)
    with pytest.raises(ConfigError, match=r"runtime='native'; it takes 'numpy' here"):
        program.run(pixels(1), runtime="native")
    assert program.run(pixels(1)).logits_int.shape == (1, 3)
