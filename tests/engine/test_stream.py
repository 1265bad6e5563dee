"""One step at a time gives what the whole run gives, in integers, and goes on where the whole run ends."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikedrive as sd
from engine.chains import MEAN, STD, images
from engine.programs import pixels, small_program
from engine.random_programs import random_program
from spikedrive.blocks import MeanOverTime
from spikedrive.encoders import Direct
from spikedrive.engine.arithmetic import Linear, Multiply, Sum, SumSteps
from spikedrive.engine.interpreter import interpret
from spikedrive.engine.ir import Input, Neuron, check
from spikedrive.engine.layout import Reshape
from spikedrive.engine.lower import compile
from spikedrive.engine.runtime import Program
from spikedrive.engine.stream import State, one_step, step_values
from spikedrive.engine.twin import Twin
from spikedrive.errors import DtypeError, ShapeError, StateError
from spikedrive.neurons import IF, LIF
from spikedrive.neurons import Neuron as NeuronModule
from spikedrive.ops.fold import over_time


def test_every_tensor_of_every_step_is_that_of_the_whole_run():
    """What stands behind a sum over the steps is equal at the last one."""
    streamed = refused = carried = 0
    for seed in range(250):
        ops = random_program(random.Random(seed), 9)
        values = check(ops)
        try:
            steps_ops, _ = one_step(ops, values)
            steps_values, _ = step_values(steps_ops)
        except StateError:
            refused += 1
            continue
        steps = max(value.steps for value in values.values())
        shape = (values["x"].steps, 2, *values["x"].shape)
        x = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
        names, state = {op.name for op in ops}, {}
        whole = interpret(ops, values, x, names)
        each = [
            interpret(steps_ops, steps_values, x[t if len(x) > 1 else 0][None], names, state)
            for t in range(steps)
        ]
        for name in names:
            if values[name].steps == steps:
                assert np.array_equal(np.concatenate([step[name] for step in each]), whole[name]), (
                    seed,
                    name,
                )
            assert np.array_equal(each[-1][name][0], whole[name][-1]), (seed, name)
        streamed, carried = streamed + 1, carried + len(state)
    assert streamed > 120 and refused > 20 and carried > 60


class Live(nn.Module):
    """Two neurons, and the mean over the steps so far: 2 x 7 x 5 to 3 classes."""

    def __init__(self, steps: int, last: NeuronModule) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.encoder, self.conv, self.first = Direct(steps), nn.Conv2d(2, 6, 3, 2, 1), LIF(threshold=0.2)
        self.mix, self.last = nn.Conv2d(6, 6, 1), last
        self.head, self.readout = nn.Linear(6, 3), MeanOverTime()

    def forward(self, x: Tensor) -> Tensor:
        x = over_time(self.mix, self.first(over_time(self.conv, self.encoder(x))))
        return self.readout(self.head(self.last(x.mean((3, 4)))))


@pytest.mark.parametrize("last", [IF(threshold=0.3), LIF(0.25, 0.2, reset="soft")])
@torch.no_grad()
def test_it_is_the_stream_of_the_model(last):
    """Both answer with the mean so far; after step T the program's leak rounds, and the model's does in fp64."""
    model = Live(3, last)
    program = compile(model, torch.zeros(1, 2, 7, 5), mean=MEAN, std=STD)
    twin = Twin(program, model).model
    stream, state, scales = program.stream(), None, set()
    shown = images((2, 7, 5), 4)
    for t in range(1, 12):
        wanted, state = sd.run(twin, torch.from_numpy(shown).double(), state, steps=1)
        answer = stream(shown)
        assert np.allclose(answer.logits, wanted.numpy(), rtol=1e-12 if t <= 3 else 1e-3, atol=1e-9)
        scales.add(answer.scale)
        if t == 3:
            whole = program.run(shown)
            assert np.array_equal(answer.logits_int, whole.logits_int) and answer.scale == whole.scale
    assert len(scales) == 11 and np.ptp(answer.logits, axis=0).max() > 0


def test_a_leak_without_bits_left_rounds_down():
    """Python's own integers, a hundred steps beyond those that are exact."""
    ladder, weight = (3 << 2, 9 << 2), 3
    ops = [
        Input(name="x", inputs=(), shape=(1,)),
        Linear(name="y", inputs=("x",), weight=np.array([[weight]], np.int8), shift=np.zeros(1, np.int8),
               bias=np.array([-300], np.int32), exponent=0),
        Neuron(name="s", inputs=("y",), ladder=ladder, threshold=200 << 2, steps=1, decay=2, carry=True, fraction=2,
               rest=-4),
    ]  # fmt: skip
    stream, v, chance = Program(ops).stream(), -4, random.Random(0)
    fired = 0
    for _ in range(100):
        x = chance.randrange(256)
        h = (v >> 2) + (-4 - (-4 >> 2)) + ((weight * x - 300) << 2)
        s = sum(h >= step for step in ladder)
        v, fired = h - (200 << 2) * s, fired + s
        assert stream(np.array([[x]], np.uint8)).logits_int.tolist() == [[s]]
        assert stream.state.arrays["s"].tolist() == [[v]]
    assert 20 < fired < 180


def test_state_is_kept_restored_and_forgotten(tmp_path):
    program, shown = small_program(steps=6), pixels(5)
    first, second = program.stream(), program.stream()
    first(shown)
    second(shown[:2])
    early = first.state
    answers = [first(shown).logits_int for _ in range(5)]
    assert np.array_equal(answers[-1], program.run(shown).logits_int)
    assert early.steps == 1 and set(early.arrays) == {"fire", "logits"}
    for name, array in early.arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    second.state = State(early.steps, {name: np.load(tmp_path / f"{name}.npy") for name in early.arrays})
    assert [np.array_equal(second(shown).logits_int, answer) for answer in answers] == [True] * 5
    first.reset()
    assert first.state.steps == 0 and first.state.arrays == {}
    assert [first(shown[:1]).logits_int.tolist() for _ in range(6)][-1] == answers[-1][:1].tolist()


def test_two_streams_share_a_program():
    program, a, b = small_program(steps=3), pixels(3, 1), pixels(4, 2)
    one, two = program.stream(), program.stream()
    mixed = [(one(a).logits_int, two(b).logits_int) for _ in range(3)][-1]
    assert np.array_equal(mixed[0], program.run(a).logits_int)
    assert np.array_equal(mixed[1], program.run(b).logits_int)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted by glibc")
def test_a_stream_holds_no_more_after_another_thousand_steps():
    class InUse(ctypes.Structure):
        # arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost
        _fields_ = [(f"n{place}", ctypes.c_size_t) for place in range(10)]

    count = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if count is None:
        pytest.skip("a C library without mallinfo2")
    count.restype = InUse

    def held() -> tuple[int, int]:
        found = count()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        return found.n7 + found.n4, pages * mmap.PAGESIZE

    stream, frame = small_program().stream(runtime="native"), pixels(1)
    # Python's own memory settles too, that of counting with it
    for _ in range(1000):
        stream(frame)
    gc.collect()
    held()
    malloc_before, mapped_before = held()
    for _ in range(1000):
        stream(frame)
    gc.collect()
    malloc_after, mapped_after = held()
    # a single number kept at each step would be more; Python maps its own objects by the mebibyte
    assert malloc_after - malloc_before < 8 * 1000
    assert mapped_after - mapped_before <= 2**20


COUNTED_STEPS = """
import ctypes
import sys

import numpy as np

from spikedrive.engine import runtime

news = ctypes.c_long.in_dll(ctypes.CDLL(None), "news")
program = runtime.load(sys.argv[1])
stream = program.stream(runtime="native", threads=1)
step = np.full((1, *program.input.shape), 200, np.uint8)
for _ in range(4):
    before = news.value
    stream(step)
    print(news.value - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD puts the counter in front")
def test_only_the_first_step_allocates(require: Callable[[bool, str], None], tmp_path: Path):
    require(shutil.which("gcc") is not None, "a C compiler (on Debian: apt-get install gcc)")
    program = small_program()
    program.save(tmp_path / "small.sdx")
    counter, steps = tmp_path / "count_new.so", tmp_path / "steps.py"
    source = Path(__file__).with_name("count_new.c")
    subprocess.run(["gcc", "-shared", "-fPIC", str(source), "-o", str(counter)], check=True)
    steps.write_text(COUNTED_STEPS, encoding="utf-8")
    command = [sys.executable, str(steps), str(tmp_path / "small.sdx")]
    found = subprocess.run(
        command, env={**os.environ, "LD_PRELOAD": str(counter)}, capture_output=True, text=True, check=True
    )
    first, *later = [int(line) for line in found.stdout.split()]
    # the array of the answer, its owner and the places of what to keep
    assert first > 20
    assert max(later) < 10


def test_frames_go_in_one_by_one():
    ops = [
        Input(name="x", inputs=(), shape=(2, 3), steps=4),
        Reshape(name="flat", inputs=("x",), shape=(6,)),
        Neuron(name="s", inputs=("flat",), ladder=(300,), threshold=300, steps=4, carry=True),
        SumSteps(name="logits", inputs=("s",), steps=4),
    ]
    program = Program(ops)
    frames = np.random.default_rng(0).integers(0, 256, (4, 5, 2, 3)).astype(np.uint8)
    stream = program.stream()
    answers = [stream(frame) for frame in frames]
    assert np.array_equal(answers[-1].logits_int, program.run(frames).logits_int)
    assert {answer.scale for answer in answers} == {1.0}
    assert answers[-1].logits_int.max() > 1


def test_sums_hold_for_as_many_steps_as_64_bits_take():
    ops = small_program().ops
    assert step_values(one_step(ops, check(ops))[0])[1] == 2**32
    fire = Neuron(name="s", inputs=("x",), ladder=(1,), threshold=-(2**40), steps=1, carry=True)
    stream = Program([Input(name="x", inputs=(), shape=(1,)), fire]).stream()
    assert stream.most_steps == 2**22
    one = np.ones((1, 1), np.uint8)
    for _ in range(3):
        stream(one)
    assert stream.state.arrays["s"].tolist() == [[3 + 3 * 2**40]]
    stream.state = State(2**22, stream.state.arrays)
    with pytest.raises(StateError, match=r"got step 4194305; it takes 4194304, .* Call reset\(\)"):
        stream(one)


REFUSED = {
    "neuron": ([Neuron(name="late", inputs=("all",), ladder=(1,), threshold=1, steps=3)],
               r"'late' \(Neuron, of module .* sees 'all', a sum over all steps"),
    "again": ([SumSteps(name="late", inputs=("all",), steps=3)], r"'late' \(SumSteps.* sees 'all'"),
    "beside": ([Multiply(name="late", inputs=("all", "fire"))], r"'late' \(Multiply.* sees 'all'"),
    "bias": ([Linear(name="late", inputs=("all",), weight=np.ones((2, 4), np.int8), bias=np.ones(2, np.int8),
                     shift=np.zeros(2, np.int8), exponent=0)], r"'late' \(Linear.* adds to a mean over the steps"),
    "product": ([Multiply(name="late", inputs=("all", "all"))], r"'late' \(Multiply.* adds to a mean"),
    "other steps": ([Neuron(name="late", inputs=("x",), ladder=(1,), threshold=1, steps=1)],
                    r"'late' \(Neuron.* has 1 steps where the program has 3"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_sees_several_steps_is_refused(case):
    late, match = REFUSED[case]
    ops = [
        Input(name="x", inputs=(), shape=(4,)),
        Neuron(name="fire", inputs=("x",), ladder=(100,), threshold=100, steps=3, carry=True),
        SumSteps(name="all", inputs=("fire",), steps=3, mean=True),
    ]
    answer = Sum(name="answer", inputs=("all",), axes=())
    assert Program([*ops, answer]).stream()(np.full((1, 4), 200, np.uint8)).logits_int.tolist() == [[1] * 4]
    with pytest.raises(StateError, match=match + r".*; a stream takes .* Call Program.run on the whole"):
        Program([*ops, *late, answer]).stream()


def test_wrong_steps_and_states_are_refused():
    stream = small_program().stream()
    with pytest.raises(DtypeError, match="takes raw uint8"):
        stream(pixels(1).astype(float))
    with pytest.raises(ShapeError, match=r"shape \(2, 1, 2, 6, 5\); it takes \(B, 2, 6, 5\)"):
        stream(pixels(2)[:, None])
    stream(pixels(3))
    with pytest.raises(ShapeError, match=r"a step of 2 samples; it holds the state of 3 .* Call reset\(\)"):
        stream(pixels(2))
    good = stream.state
    for arrays in ({}, {**good.arrays, "more": np.zeros((3, 2))}, {**good.arrays, "fire": np.zeros((3, 4, 3, 5))},
                   {**good.arrays, "fire": good.arrays["fire"][:2]}):  # fmt: skip
        with pytest.raises(
            StateError, match=r"it takes int64 \(B, \.\.\.\) for each of the 2 .* Take the state of"
        ):
            stream.state = replace(good, arrays=arrays)
