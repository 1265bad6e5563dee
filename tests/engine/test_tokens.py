"""Token ids: tables in programs, their lowering from nn.Embedding, and ids that are none."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.chains import MEAN, STD
from engine.seeds import language
from spikedrive.blocks import MeanOverTime
from spikedrive.engine import pack
from spikedrive.engine.arithmetic import Embedding, Linear, Sum, SumSteps
from spikedrive.engine.interpreter import interpret
from spikedrive.engine.ir import Input, check
from spikedrive.engine.lower import compile
from spikedrive.engine.runtime import Program, load
from spikedrive.engine.verify import verify
from spikedrive.errors import DtypeError, LoweringError, ShapeError, ValueRangeError
from spikedrive.neurons import LIF


class Tiny(nn.Module):
    """A table, one shortcut between membranes, and a head: (T, B, 2) ids to three logits."""

    input = "frames"

    def __init__(self, vocabulary: int = 300) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.first = nn.Embedding(vocabulary, 8), LIF(threshold=0.3)
        self.mix, self.second = nn.Linear(8, 8, bias=False), LIF(threshold=0.2)
        self.head, self.readout = nn.Linear(8, 3), MeanOverTime()
        with torch.no_grad():
            # columns of very different sizes, which share a membrane
            self.table.weight.mul_(torch.logspace(-4, 2, 8, base=2.0))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids)
        x = x + self.mix(self.first(x))
        return self.readout(self.head(self.second(x)).sum(2))


def test_a_row_of_the_table_is_its_equation():
    ops = language()
    ids = np.random.default_rng(0).integers(0, 300, (2, 5, 2))
    rows = interpret(ops, check(ops), ids, {"rows"})["rows"]
    table = ops[1]
    assert isinstance(table, Embedding)
    for t, b, n, d in np.ndindex(2, 5, 2, 4):
        assert rows[t, b, n, d] == int(table.weight[ids[t, b, n], d]) * 2 ** int(table.shift[d])
    value = check(ops)["rows"]
    assert (value.low, value.high) == (
        int((table.weight << table.shift).min()),
        int((table.weight << table.shift).max()),
    )


def test_ids_lie_in_the_narrowest_type():
    types = {
        high: Input(name="x", inputs=(), shape=(), high=high).dtype for high in (1, 255, 256, 65535, 65536)
    }
    assert types == {1: "uint8", 255: "uint8", 256: "uint16", 65535: "uint16", 65536: "int32"}


@pytest.mark.parametrize("vocabulary", [256, 70000])
def test_ids_of_every_width_give_what_the_twin_gives(vocabulary, tmp_path):
    model = Tiny(vocabulary)
    ids = torch.randint(0, vocabulary, (3, 9, 2), generator=torch.Generator().manual_seed(1))
    ids[0, 0], ids[0, 1] = 0, vocabulary - 1
    program = compile(model, ids[:, :1])
    assert program.takes_tokens and program.input.high == vocabulary - 1
    assert verify(program, model, ids).equal
    program.save(tmp_path / "tiny.sdx")
    loaded, stream = load(tmp_path / "tiny.sdx"), program.stream()
    wanted = program.run(ids).logits_int
    assert np.array_equal(loaded.run(ids.int()).logits_int, wanted) and wanted.std() > 0
    assert np.array_equal([stream(step).logits_int for step in ids][-1], wanted)
    spread = next(op.shift for op in program.ops if isinstance(op, Embedding))
    assert spread.max() - spread.min() >= 4


def test_bytes_stay_files_of_the_first_kind():
    """A reader of before knows all fields of a program without token ids."""
    for high, named in ((255, False), (254, True), (299, True)):
        data = pack.dump({}, [Input(name="x", inputs=(), shape=(2,), high=high)])
        fields = json.loads(data[24 : 24 + struct.unpack_from("<I", data, 12)[0]])["ops"][0]
        assert ("high" in fields) == named
        (read,) = pack.parse(data)[1]
        assert isinstance(read, Input) and read.high == high


def test_what_are_no_ids_is_refused():
    program = Program(language())
    good = np.zeros((2, 3, 2), np.uint16)
    assert program.run(good).logits_int.shape == (3, 3)
    for bad in (300, -1):
        ids = good.astype(int)
        ids[1, 2, 1] = bad
        with pytest.raises(
            ValueRangeError, match=rf"ids from {min(bad, 0)} to {max(bad, 0)}; it takes 0\.\.299.* Use"
        ):
            program.run(ids)
    with pytest.raises(DtypeError, match=r"ids of dtype float64; it takes integers 0\.\.299\. Pass"):
        program.run(good.astype(float))
    with pytest.raises(
        ShapeError, match=r"token ids of shape \(2, 2\); it takes \(2, B, 2\)\. Add .* ids\[None\]"
    ):
        program.run(good[:, 0])
    with pytest.raises(ValueRangeError, match="ids from 300 to 300"):
        program.stream()(np.full((1, 2), 300))


def test_a_program_of_few_pixels_checks_them():
    program = Program([Input(name="x", inputs=(), shape=(2,), high=3), Sum(name="y", inputs=("x",), axes=())])
    with pytest.raises(ValueRangeError, match=r"from 4 to 4; it takes 0\.\.3"):
        program.run(np.full((1, 2), 4, np.uint8))


@pytest.mark.parametrize(
    ("late", "match"),
    [
        ({"inputs": ("less",)}, r"takes integers 0\.\.299 and 4 shifts"),
        ({"shift": np.zeros(3, np.int8)}, r"takes integers 0\.\.299 and 4 shifts"),
        ({"weight": np.zeros((299, 4), np.int8)}, r"takes integers 0\.\.298"),
        ({"shift": np.full(4, 64)}, "takes shifts of 0 to 63"),
        ({"shift": np.full(4, 60)}, "integers have 64 bits"),
    ],
)
def test_a_table_covers_every_id(late, match):
    less = Linear(name="less", inputs=("ids",), weight=-np.eye(2, dtype=np.int8), bias=np.zeros(2, np.int8),
                  shift=np.zeros(2, np.int8), exponent=0)  # fmt: skip
    fields = {"inputs": ("ids",), "weight": np.full((300, 4), 99), "shift": np.zeros(4, np.int8), **late}
    with pytest.raises(ShapeError, match=match):
        check([language()[0], less, Embedding(name="rows", exponent=0, **fields)])


def test_the_least_table_bounds_the_ids():
    class Two(nn.Module):
        input = "frames"

        def __init__(self) -> None:
            super().__init__()
            self.one, self.other, self.fire = nn.Embedding(9, 4), nn.Embedding(7, 4), LIF()

        def forward(self, ids: Tensor) -> Tensor:
            return self.fire(self.one(ids) + self.other(ids)).sum(0)

    assert compile(Two(), torch.zeros(2, 1, dtype=torch.long)).input.high == 6


def test_a_table_of_computed_ids_is_refused(unaudited):
    class Computed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(9, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.table(x.argmax(1))

    with pytest.raises(LoweringError, match="no rule to lower it"):
        compile(Computed(), torch.zeros(1, 2, 4, 4), mean=MEAN, std=STD)


def test_the_sum_over_steps_of_a_table_streams():
    ops = [
        *language()[:2],
        SumSteps(name="all", inputs=("rows",), steps=2),
        Sum(name="y", inputs=("all",), axes=(0,)),
    ]
    program, ids = Program(ops), np.array([[[1, 2]], [[3, 299]]])
    stream = program.stream()
    assert [stream(step).logits_int for step in ids][-1].tolist() == program.run(
        ids, runtime="numpy"
    ).logits_int.tolist()
