"""The twin and the comparison: equal where it is, and honest where it is not."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from engine.chains import MEAN, STD, Chain, images
from spikedrive.engine.lower import compile
from spikedrive.engine.runtime import Program
from spikedrive.engine.twin import Twin, _TapConv2d
from spikedrive.engine.verify import verify
from spikedrive.errors import DtypeError, LoweringError, ShapeError
from spikedrive.neurons import ILIF, LIF

pytestmark = pytest.mark.usefixtures("unaudited")
PIXELS = images((2, 7, 5), 20)
LABELS = np.arange(20) % 3


@pytest.fixture(scope="module")
def compiled():
    model = Chain(2, ILIF)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spikedrive.engine.lower.audit", lambda *_: SimpleNamespace(verdict="additive"))
        return model, compile(model, torch.zeros(1, 2, 7, 5), mean=MEAN, std=STD)


def test_a_verification_says_what_was_compared(compiled, tmp_path):
    model, program = compiled
    seen = []
    found = verify(program, model, PIXELS, LABELS, batch=8, progress=seen.append)
    assert found.equal
    assert (found.images, found.neurons, found.unequal, seen) == (20, 3, 0, [8, 16, 20])
    assert found.integers == 20 * 2 * (6 * 4 * 5 * 2 + 6)
    assert found.accuracy_program == np.mean(program.run(PIXELS).predictions == LABELS)
    assert found.points_lost == pytest.approx(100 * (found.accuracy_fp32 - found.accuracy_program))
    assert found.agreement == np.mean(found.predictions_fp32 == found.predictions_program)
    assert [b.module for b in found.bounds if b.operation == "Neuron"] == ["first", "second", "last"]
    found.save(tmp_path / "verify.json")
    read = json.loads((tmp_path / "verify.json").read_text())
    assert read["equal"] is True
    assert read["images"] == 20
    assert set(read["seconds"]) == {"program", "twin", "fp32"}
    assert not any(isinstance(value, list) and key != "bounds" for key, value in read.items())


@pytest.mark.parametrize("module", ["stem", "mix", "out", "head"])
def test_wrong_weights_make_a_difference(compiled, module):
    model, program = compiled
    weight = np.full_like(next(op for op in program.ops if op.module == module).weight, 99)
    wrong = Program(
        [replace(op, weight=weight) if op.module == module else op for op in program.ops], program.meta
    )
    twin, mine = Twin(program, model)(PIXELS), wrong.run(PIXELS, neurons=True)
    differs = [path for path in mine.neurons if (twin.neurons[path].numpy() != mine.neurons[path]).any()]
    assert differs or (twin.logits.numpy() != mine.logits_int).any()


def test_a_difference_is_counted(compiled, monkeypatch):
    model, program = compiled
    run = Program.run

    def off_by_one(self, *args, **kwargs):
        result = run(self, *args, **kwargs)
        if result.neurons:
            result.neurons["second"].flat[0] += 1
            result.logits_int[0, 0] += 1
        return result

    monkeypatch.setattr(Program, "run", off_by_one)
    found = verify(program, model, PIXELS, batch=10)
    assert not found.equal
    assert not found.logits_equal
    assert found.unequal_neurons == {"second": 2}
    assert found.unequal == 2
    assert found.accuracy_fp32 is None


def test_another_models_program_is_refused(compiled):
    _, program = compiled
    wide = Chain(2, ILIF)
    wide.out = nn.Conv2d(6, 6, 3)
    with pytest.raises(LoweringError, match=r"'out' has a weight of shape \(6, 6, 1, 1\) .* \(6, 6, 3, 3\)"):
        Twin(program, wide)
    other = Chain(2, ILIF)
    del other.mix
    with pytest.raises(LoweringError, match="has a module 'mix' that Chain lacks"):
        Twin(program, other)
    swapped = Chain(2, ILIF)
    swapped.first = nn.Identity()
    with pytest.raises(LoweringError, match="'first' is a Identity; the twin compares neurons"):
        Twin(program, swapped)


def test_wrong_sets_are_refused(compiled):
    model, program = compiled
    with pytest.raises(ShapeError, match="verify got 20 images and 3 labels"):
        verify(program, model, PIXELS, LABELS[:3])
    with pytest.raises(ShapeError, match="verify got 0 images and no labels"):
        verify(program, model, PIXELS[:0])
    with pytest.raises(DtypeError, match=r"twin got torch\.float32 images; it takes the raw uint8"):
        Twin(program, model)(PIXELS.astype(np.float32))


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"), [(3, 1, 1, 1), (5, 2, 2, 1), (3, 1, 0, 2), (1, 1, 0, 1)]
)
def test_depthwise_taps_are_the_convolution(kernel, stride, padding, dilation):
    conv = nn.Conv2d(4, 4, kernel, stride, padding, dilation, groups=4, bias=False).double()
    conv.weight.data = torch.randint(-127, 128, conv.weight.shape).double()
    x = torch.randint(0, 5, (3, 4, 9, 8)).double()
    expected = conv2d(x, conv.weight, None, stride, padding, dilation, 4)
    assert torch.equal(_TapConv2d(conv)(x), expected)


def test_the_twin_leaves_the_model_alone(compiled):
    model, program = compiled
    before = {key: value.clone() for key, value in model.state_dict().items()}
    thresholds = [m.threshold for m in model.modules() if isinstance(m, (LIF, ILIF))]
    Twin(program, model)(PIXELS)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert [m.threshold for m in model.modules() if isinstance(m, (LIF, ILIF))] == thresholds
