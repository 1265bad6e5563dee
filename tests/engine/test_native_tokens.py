"""The compiled engine on token ids: the interpreter's integers, and no reading outside of a table."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

from engine.random_programs import random_program
from engine.seeds import language
from spikedrive import native
from spikedrive.engine import pack
from spikedrive.engine.interpreter import interpret
from spikedrive.engine.ir import Input, Op, check
from spikedrive.engine.layout import Reshape
from spikedrive.engine.runtime import Program

if native.run is None and os.environ.get("SPIKEDRIVE_STRICT") != "1":
    pytest.skip(f"the engine is missing: {native.run_missing}", allow_module_level=True)

LEVELS = native.run.levels()


def ids_for(ops: list[Op], seed: int) -> np.ndarray:
    """Ids (steps, 3, ...) in the type that goes in, the least and the most among them."""
    value = check(ops)[ops[0].name]
    ids = np.random.default_rng(seed).integers(0, value.high + 1, (value.steps, 3, *value.shape))
    ids.flat[0], ids.flat[-1] = 0, value.high
    return ids.astype(np.uint8 if value.high < 256 else np.int32)


@pytest.mark.parametrize("level", LEVELS)
def test_every_tensor_is_the_interpreters(level):
    tables = 0
    for seed in range(40):
        chance = random.Random(seed)
        ops = language() if seed == 0 else random_program(chance, 8, chance.choice((3, 254, 255, 300, 70000)))
        names, ids = [op.name for op in ops], ids_for(ops, seed)
        wanted = interpret(ops, check(ops), ids, set(names))
        engine = native.run.Engine(pack.dump({}, ops), level)
        found = engine.run(ids.view(np.uint8), 3, list(range(len(ops))), 1)
        for name, integers in zip(names, found, strict=True):
            assert np.array_equal(integers, wanted[name]), (seed, name)
        tables += sum(type(op).__name__ == "Embedding" for op in ops)
    assert tables > 6


@pytest.mark.parametrize("high", [3, 300, 70000])
def test_ids_of_any_integer_type_run(high):
    x = Input(name="x", inputs=(), shape=(1, 5), high=high)
    program = Program([x, Reshape(name="y", inputs=("x",), shape=(5,))])
    ids = np.array([[[0, 1, 2, 3, high]]]).repeat(2, 0)
    kinds = [kind for kind in (np.uint8, np.uint16, np.int32, np.int64) if np.iinfo(kind).max >= high]
    found = [program.run(ids.astype(kind), runtime="native").logits_int.tolist() for kind in kinds]
    assert found == [ids[:, 0].tolist()] * len(kinds)


@pytest.mark.parametrize(("high", "wrong"), [(3, 4), (299, 300), (299, -1)])
def test_ids_that_no_table_holds_are_refused(high, wrong):
    engine = native.run.Engine(pack.dump({}, [Input(name="x", inputs=(), shape=(2,), high=high)]), "scalar")
    ids = np.array([[[high, wrong]]], np.uint8 if high < 256 else np.int32)
    with pytest.raises(
        ValueError, match=rf"1 integers outside of 0 to {high}; it takes none. Use Program.run"
    ):
        engine.run(ids.view(np.uint8), 1, [0], 1)
    with pytest.raises(ValueError, match="bytes for 2 samples; it takes"):
        engine.run(ids.view(np.uint8), 2, [0], 1)


def test_a_program_of_two_inputs_is_refused():
    """Of which one could be read past the end of what was given."""
    ops = [Input(name=name, inputs=(), shape=(size,)) for name, size in (("x", 9999), ("y", 2))]
    engine = native.run.Engine(pack.dump({}, ops), "scalar")
    with pytest.raises(ValueError, match=r"program of 2 inputs; it takes one\. Use Program"):
        engine.run(np.zeros(2, np.uint8), 1, [0], 1)
