"""What a program needs in memory, takes of it, and adds layer by layer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.programs import pixels, small_program
from spikedrive import native
from spikedrive.engine.arithmetic import Add, Linear, MatMul, Scale, Shift, Sum
from spikedrive.engine.ir import Input, Neuron, Op, Value
from spikedrive.engine.layout import Permute, Reshape
from spikedrive.engine.measure.layers import layer_times
from spikedrive.engine.measure.memory import needed, size_of
from spikedrive.engine.runtime import Program

if native.run is None and os.environ.get("SPIKEDRIVE_STRICT") != "1":
    pytest.skip(f"the engine is missing: {native.run_missing}", allow_module_level=True)


def product() -> Program:
    """Spikes (4, 6) of pixels, times themselves: one product, and a sum of it."""
    return Program(
        [
            Input(name="x", inputs=(), shape=(24,)),
            Neuron(name="s", inputs=("x",), module="n", ladder=(128,), threshold=128, steps=1),
            Reshape(name="a", inputs=("s",), shape=(4, 6)),
            Scale(name="half", inputs=("a",), power=-1),
            Permute(name="b", inputs=("half",), axes=(1, 0)),
            MatMul(name="y", inputs=("half", "b"), module="m"),
            Sum(name="logits", inputs=("y",), axes=(1,)),
        ]
    )


def test_what_is_needed_is_counted_by_hand() -> None:
    # weights, shifts and biases; then pixels of a byte each beside the spikes of two steps, a bit each: potentials go
    # over into these
    assert needed(small_program(), 1) == {"weights": 72 + 4 + 240 + 12 + 3 + 12, "activations": 60 + 120 // 8}
    assert needed(small_program(), 5)["activations"] == 5 * 75
    # pixels beside their spikes, a bit each; another name for the same memory takes none
    assert needed(product(), 1) == {"weights": 0, "activations": 24 + 3}


def test_a_sum_that_two_read_stays() -> None:
    def count(*inputs: str) -> int:
        ops = [
            Input(name="x", inputs=(), shape=(64,)),
            Shift(name="a", inputs=("x",), left=0),
            Add(name="b", inputs=inputs),
            Neuron(name="logits", inputs=("b",), module="n", ladder=(9,), threshold=9, steps=1),
        ]
        return needed(Program(ops), 1)["activations"]

    # spikes beside the pixels that the sum goes back to; then pixels beside what is read twice
    assert count("a", "x") == 64 + 8
    assert count("a", "a") == 64 + 64


@pytest.mark.parametrize(
    ("low", "high", "size"), [(0, 1, 3), (0, 4, 20), (-1, 1, 20), (-128, 127, 20), (0, 255, 20), (0, 256, 40),
                              (-129, 0, 40), (0, 2**16, 80), (-(2**31) - 1, 0, 160)],
)  # fmt: skip
def test_a_tensor_takes_the_fewest_bytes_that_hold_its_bounds(low: int, high: int, size: int) -> None:
    assert size_of(Value((5, 2), 2, low, high, 0), 1) == size


@pytest.mark.skipif(sys.platform != "linux", reason="high-water marks are read from /proc")
def test_the_peak_is_one_of_a_process_without_torch(tmp_path: Path) -> None:
    path = tmp_path / "small.sdx"
    small_program().save(path)
    code = (
        "import sys, json; from spikedrive.engine.measure import memory; "
        f"print(json.dumps(memory.main([{str(path)!r}, '2']))); sys.exit(3 * ('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["batch"] == 2 and found["threads"] == 1 and found["activations"] == 150
    assert 0 <= found["peak"] < 2**26


@pytest.mark.skipif(sys.platform != "linux", reason="high-water marks are read from /proc")
def test_a_program_holds_its_weights_once(tmp_path: Path) -> None:
    rng, size, ops = np.random.default_rng(0), 2048, list[Op]([Input(name="x", inputs=(), shape=(2048,))])
    for name in map(str, range(8)):
        fires = Neuron(
            name=f"n{name}", inputs=(ops[-1].name,), module=name, ladder=(9,), threshold=9, steps=1
        )
        weight, zeros = rng.integers(-63, 64, (size, size), np.int8), np.zeros(size, np.int32)
        layer = Linear(
            name=name, inputs=(fires.name,), module=name, exponent=0, weight=weight, bias=zeros, shift=zeros
        )
        ops += [fires, layer]
    path = tmp_path / "large.sdx"
    Program(ops).save(path)
    words = [sys.executable, "-m", "spikedrive.engine.measure.memory", str(path)]
    found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    # beside them there is one layer as it lies in the file, and ten mebibytes of code, objects and scratch at most
    assert found["weights"] < found["peak"] < found["weights"] + size**2 + 10 * 2**20


def test_every_layer_has_its_additions_and_its_bytes() -> None:
    program, images = small_program(), pixels(3)
    stem, head = layer_times(program, images, rounds=2)
    assert (stem.layer, stem.operation, stem.kind, stem.density) == ("stem", "Conv2d", "first layer", 1.0)
    assert stem.additions == 3 * 60 * 18
    assert stem.bytes == 72 + 3 * (60 + 240)
    assert stem.seconds > 0
    # a sum of spikes is no neuron's output
    assert (head.layer, head.density, head.additions) == ("head", 1.0, 3 * 2 * 3 * 4)


def test_a_product_of_spikes_has_the_density_of_its_sparser_side() -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 24), dtype=np.uint8)
    (layer,) = layer_times(product(), images, rounds=1)
    assert layer.operation == "MatMul" and layer.layer == "m" and layer.kind == "product of spikes"
    assert layer.density == pytest.approx((images >= 128).mean())
    assert layer.additions == pytest.approx(layer.density * 8 * 4 * 4 * 6)
