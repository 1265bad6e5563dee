"""Program = twin, integer for integer, over the registered models."""

from __future__ import annotations

import numpy as np
import pytest

import spikedrive as sd
from engine.chains import images
from engine.equality import equal_program
from models.families import COMPILED, INTEGER, inputs, tiny
from spikedrive.engine.runtime import load
from spikedrive.errors import LoweringError

pytestmark = pytest.mark.usefixtures("unaudited")


# compiling takes seconds: `make test-all` tries those whose smallest member is made of the same parts, too
LARGER = {"v3", "v3_large_spiking", "qsd"}


@pytest.mark.parametrize(
    "family", [pytest.param(f, marks=[pytest.mark.slow] if f in LARGER else []) for f in COMPILED]
)
def test_every_family_compiles_to_an_equal_program(family, tmp_path):
    model = sd.fuse(tiny(family), dense_separable=True)
    example = inputs(family, model, batch=1)
    axis = 1 if model.input == "frames" else 0
    item = [size for i, size in enumerate(example.shape) if i != axis]
    pixels = np.moveaxis(images(item, 6), 0, axis)
    program, found = equal_program(model, example, pixels)
    assert set(program.neurons) == set(model.neurons())
    assert found.neurons == len(model.neurons())
    # neurons of every kind both fire and rest somewhere, or equality would say little
    result = program.run(pixels, neurons=True)
    firing = [integers.any() for integers in result.neurons.values()]
    assert sum(firing) > 0.7 * len(firing)
    program.save(tmp_path / "m.sdx")
    assert (load(tmp_path / "m.sdx").run(pixels).logits_int == result.logits_int).all()


@pytest.mark.parametrize("family", sorted(set(INTEGER) - set(COMPILED)))
def test_the_others_are_refused_by_name(family):
    model = sd.fuse(tiny(family), dense_separable=True)
    with pytest.raises(LoweringError, match=r"cumsum\.default in module .* has no rule to lower it"):
        equal_program(model, inputs(family, model, batch=1), np.zeros(0))


def test_nano_with_leaky_neurons_over_four_steps():
    model = tiny("nano", neuron="LIF", steps=4)
    program, _ = equal_program(model, inputs("nano", model), images((1, 16, 16)))
    assert program.steps == 4
    assert {op.fraction for op in program.ops if type(op).__name__ == "Neuron"} == {4}
    # the analog layer is computed once, not at every step
    assert next(v for op, v in zip(program.ops, program.values.values(), strict=True) if op.module).steps == 1
