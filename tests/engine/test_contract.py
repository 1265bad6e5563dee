"""Program = twin, integer for integer: every family, every neuron flavour, every option of a convolution."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import spikedrive as sd
from engine.chains import MEAN, STD, Chain, images
from models.families import FAMILIES, inputs, tiny
from spikedrive.engine.lower import compile
from spikedrive.engine.runtime import Program, load
from spikedrive.engine.verify import Verification, verify
from spikedrive.neurons import IF, ILIF, LIF, NILIF, PLIF

pytestmark = pytest.mark.usefixtures("unaudited")


def check(
    model: nn.Module, example: torch.Tensor, pixels: np.ndarray, **options
) -> tuple[Program, Verification]:
    channels = example.shape[-3]
    mean, std = (MEAN * 2)[:channels], (STD * 2)[:channels]
    program = compile(model, example, mean=mean, std=std, **options)
    found = verify(program, model, pixels, batch=8)
    assert found.unequal_neurons == {}
    assert found.logits_equal
    assert found.equal
    return program, found


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_compiles_to_an_equal_program(family, tmp_path):
    model = sd.fuse(tiny(family), dense_separable=True)
    example = inputs(family, model, batch=1)
    axis = 1 if model.input == "frames" else 0
    item = [size for i, size in enumerate(example.shape) if i != axis]
    pixels = np.moveaxis(images(item, 6), 0, axis)
    program, found = check(model, example, pixels)
    assert set(program.neurons) == set(model.neurons())
    assert found.neurons == len(model.neurons())
    # neurons of every kind both fire and rest somewhere, or equality would say little
    result = program.run(pixels, neurons=True)
    firing = [integers.any() for integers in result.neurons.values()]
    assert sum(firing) > 0.7 * len(firing)
    program.save(tmp_path / "m.sdx")
    assert (load(tmp_path / "m.sdx").run(pixels).logits_int == result.logits_int).all()


def test_nano_with_leaky_neurons_over_four_steps():
    model = tiny("nano", neuron="LIF", steps=4)
    program, _ = check(model, inputs("nano", model), images((1, 16, 16)))
    assert program.steps == 4
    assert {op.fraction for op in program.ops if type(op).__name__ == "Neuron"} == {4}
    # the analog layer is computed once, not at every step
    assert next(v for op, v in zip(program.ops, program.values.values(), strict=True) if op.module).steps == 1


# three neurons of one chain; the last one reads a mean over 4 x 5 positions, which is no power of two
CHAINS = {
    "if": (3, IF, partial(IF, threshold=0.3, strict=True), partial(IF, threshold=0.75, reset="soft")),
    "lif": (4, LIF, partial(LIF, reset="soft"), partial(LIF, decay=0.25, decay_input=False, threshold=0.5)),
    "lif_reset_values": (3, partial(LIF, reset_value=-0.375, decay=0.125), partial(LIF, reset_value=0.1, threshold=0.7),
                         partial(LIF, decay=0.0, reset_value=0.25, strict=True)),
    "plif": (3, PLIF, partial(PLIF, threshold=0.4), PLIF),
    "ilif": (2, ILIF, partial(ILIF, levels=3, rounding="half_up"), partial(ILIF, scale=0.25, threshold=0.5)),
    "ilif_carry": (4, partial(ILIF, carry=True), partial(ILIF, carry=True, decay=0.5, decay_input=True, threshold=0.3),
                   partial(ILIF, carry=True, decay=1.0)),
    "ilif_forgetful": (1, partial(ILIF, carry=True, decay=0.0), partial(ILIF, levels=1), partial(ILIF, threshold=0.1)),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
def test_every_neuron_flavour(name):
    program, _ = check(Chain(*CHAINS[name]), torch.zeros(1, 2, 7, 5), images((2, 7, 5), 40))
    for path, fired in program.run(images((2, 7, 5), 40), neurons=True).neurons.items():
        assert fired.any(), path
        assert not fired.all(), path
    assert program.values["mean"].divisor == 5


def test_repeated_inner_steps():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.neuron, self.head = nn.Conv2d(2, 4, 3), NILIF(), nn.Linear(60, 3)

        def forward(self, x):
            return self.head(self.neuron(self.conv(x).unsqueeze(0) * 4).flatten(2)).mean(0)

    program, _ = check(Net(), torch.zeros(1, 2, 7, 5), images((2, 7, 5)))
    fired = program.run(images((2, 7, 5)), neurons=True).neurons["neuron"]
    assert fired.max() > 4


class Views(nn.Module):
    """Everything that moves values: split, join, pad, transpose, pick, pool, and products of neurons."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.n1, self.n2 = nn.Conv2d(2, 8, 3, padding=1), ILIF(), LIF()
        self.dilated = nn.Conv2d(4, 6, 3, (1, 2), (2, 1), dilation=(2, 1), groups=2)
        self.n3, self.head = ILIF(levels=2), nn.Linear(24, 3)

    def forward(self, x):
        m = (self.conv(x) * 8).unsqueeze(0)
        a, b = m.chunk(2, 2)
        s, t = self.n1(a), self.n2(b)
        p = torch.cat([s * t, s + t], 2).permute(0, 1, 3, 2, 4)[:, :, :, 2:6].transpose(2, 3)
        y = self.dilated(nn.functional.pad(p.flatten(0, 1), (1, 0, 0, 1)))
        z = self.n3(nn.functional.max_pool2d(y, 3, 2, 1, dilation=1).unsqueeze(0) / 2)
        q = (z.flatten(3) @ z.flatten(3).transpose(-1, -2)).sum(-1)
        r = z.sum((3, 4))
        return self.head(torch.cat([q, r, z[:, :, :, 0, 0], z.select(3, 1).sum(-1) + q], 2)).mean(0)


def test_views_and_products():
    program, _ = check(Views(), torch.zeros(1, 2, 8, 6), images((2, 8, 6)))
    kinds = {type(op).__name__ for op in program.ops}
    assert {"Slice", "Concat", "Permute", "Pad", "MaxPool2d", "Multiply", "MatMul", "Sum", "Scale"} <= kinds


def test_a_linear_first_layer_takes_equal_statistics():
    net = nn.Sequential(nn.Flatten(), nn.Linear(35, 16), nn.Unflatten(0, (1, -1)), ILIF(), nn.Linear(16, 3))

    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x).mean(0)

    program, _ = check(Mean(), torch.zeros(2, 1, 7, 5), images((1, 7, 5)))
    assert [type(op).__name__ for op in program.ops] == ["Input", "Reshape", "Linear", "Neuron", "Linear"]


@pytest.mark.parametrize("bits", [4, 16])
def test_other_weight_bits_are_as_exact(bits):
    program, found = check(Chain(3, LIF), torch.zeros(1, 2, 7, 5), images((2, 7, 5)), weight_bits=bits)
    assert found.weight_bits == program.meta.weight_bits == bits
    assert max(np.abs(op.weight).max() for op in program.ops if hasattr(op, "weight")) <= 2 ** (bits - 1) - 1


def test_sixteen_bits_come_close_to_the_real_model():
    """The border map, the normalisation and every fold: real logits as the model's own, where nothing is rounded."""

    class Analog(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.neuron = (
                nn.Conv2d(2, 3, 5, padding=2),
                ILIF(levels=200, scale=1 / 64, threshold=1 / 64),
            )
            self.head = nn.Linear(3 * 35, 3)

        def forward(self, x):
            return self.head(self.neuron(self.conv(x).unsqueeze(0)).flatten(2)).mean(0)

    model, pixels = Analog().eval(), images((2, 7, 5))
    program, _ = check(model, torch.zeros(1, 2, 7, 5), pixels, weight_bits=16)
    mean, std = (torch.tensor(v).view(2, 1, 1) for v in (MEAN, STD))
    with torch.no_grad():
        real = model((torch.from_numpy(pixels) / 255 - mean) / std).numpy()
    assert np.abs(program.run(pixels).logits - real).max() < 0.01
