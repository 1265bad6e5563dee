"""Running a program: what it takes, what it refuses, and that numpy is enough."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

from engine.programs import pixels, small_program
from spikedrive.engine.arithmetic import Linear
from spikedrive.engine.ir import Input, Neuron
from spikedrive.engine.layout import Reshape
from spikedrive.engine.runtime import Program, load
from spikedrive.errors import DtypeError, ShapeError, UnknownNameError


def test_no_torch_and_no_model_is_needed(tmp_path):
    path, images = tmp_path / "m.sdx", pixels(5)
    small_program().save(path)
    np.save(tmp_path / "x.npy", images)
    code = (
        "import sys, numpy\n"
        "import spikedrive.engine, spikedrive.engine.runtime as runtime\n"
        f"program = runtime.load({str(path)!r})\n"
        f"print(program.run(numpy.load({str(tmp_path / 'x.npy')!r})).logits_int.tolist())\n"
        "assert not [m for m in sys.modules if m.split('.')[0] in ('torch', 'pydantic', 'jaxtyping', 'safetensors')]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(small_program().run(images).logits_int.tolist())


def test_the_batch_size_changes_nothing():
    program, images = small_program(), pixels(9)
    whole = program.run(images, neurons=True)
    for batch in (1, 4, 100):
        parts = program.run(images, neurons=["neuron"], batch=batch)
        assert (parts.logits_int == whole.logits_int).all()
        assert (parts.neurons["neuron"] == whole.neurons["neuron"]).all()
    assert whole.neurons["neuron"].shape == (2, 9, 4, 3, 5)
    assert whole.predictions.tolist() == whole.logits.argmax(1).tolist()
    assert program.run(images).neurons == {}


def test_a_program_from_a_file_takes_either_kernel(tmp_path):
    path, rng = tmp_path / "m.sdx", np.random.default_rng(0)
    Program(
        [
            Input(name="x", inputs=(), shape=(300,)),
            Neuron(name="fire", inputs=("x",), module="n", ladder=(128,), threshold=128, steps=1),
            Linear(
                name="logits", inputs=("fire",), module="head", exponent=0, shift=np.zeros(100, np.int8),
                weight=rng.integers(-63, 64, (100, 300), np.int8), bias=rng.integers(-9, 9, 100).astype(np.int32),
            ),
        ]
    ).save(path)  # fmt: skip
    program = load(path)
    # lists for what hardly fires, dense sums for what nearly always does: weights are packed for either
    for share in (0.02, 0.98, 0.02):
        images = np.where(rng.random((7, 300)) < share, 255, 0).astype(np.uint8)
        assert (program.run(images).logits_int == program.run(images, runtime="numpy").logits_int).all()


def test_a_program_from_a_file_goes_to_another_process(tmp_path):
    path, images = tmp_path / "m.sdx", pixels(3)
    small_program().save(path)
    program = load(path)
    answer = program.run(images).logits_int
    assert (pickle.loads(pickle.dumps(program)).run(images).logits_int == answer).all()


def test_an_empty_batch_gives_an_empty_answer():
    assert small_program().run(pixels(0)).logits_int.shape == (0, 3)


def test_the_scale_makes_real_logits():
    result = small_program().run(pixels(3))
    # 2**-9 for the weights, 15 positions and two steps under the means
    assert result.scale == pytest.approx(2**-9 / 15 / 2)
    assert np.allclose(result.logits, result.logits_int * result.scale)


def test_wrong_images_are_refused():
    program = small_program()
    for shape in ((2, 6, 5), (1, 3, 6, 5), (1, 2, 5, 6), (1, 1, 2, 6, 5)):
        with pytest.raises(ShapeError, match=r"got images of shape .*; it takes \(B, 2, 6, 5\)\. Resize"):
            program.run(np.zeros(shape, np.uint8))
    for image in (
        np.full((1, 2, 6, 5), np.nan),
        np.zeros((1, 2, 6, 5), np.float32),
        np.zeros((1, 2, 6, 5), int),
    ):
        with pytest.raises(
            DtypeError, match=r"got images of dtype .*; it takes raw uint8 pixels 0\.\.255.*Pass"
        ):
            program.run(image)
    with pytest.raises(UnknownNameError, match=r"no neuron named 'nueron'.*The nearest: neuron"):
        program.run(pixels(1), neurons=["nueron"])


def test_sequences_bring_their_steps():
    program = Program(
        [Input(name="x", inputs=(), shape=(1, 1, 3)), Reshape(name="y", inputs=("x",), shape=(3,))]
    )
    assert program.run(np.arange(6, dtype=np.uint8).reshape(2, 1, 1, 3)).logits_int.tolist() == [
        [0, 1, 2],
        [3, 4, 5],
    ]
    with pytest.raises(
        ShapeError, match=r"an answer of shape .* at 4 steps; it takes one input and ends with logits"
    ):
        Program([Input(name="x", inputs=(), shape=(3,), steps=4)])
