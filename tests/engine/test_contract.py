"""Program = twin, integer for integer: every neuron flavour, view and product that a program knows."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from engine.chains import MEAN, STD, Chain, images
from engine.equality import equal_program
from spikedrive.neurons import IF, ILIF, LIF, NILIF, PLIF

pytestmark = pytest.mark.usefixtures("unaudited")


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
    program, _ = equal_program(Chain(*CHAINS[name]), torch.zeros(1, 2, 7, 5), images((2, 7, 5), 40))
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

    program, _ = equal_program(Net(), torch.zeros(1, 2, 7, 5), images((2, 7, 5)))
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
    program, _ = equal_program(Views(), torch.zeros(1, 2, 8, 6), images((2, 8, 6)))
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

    program, _ = equal_program(Mean(), torch.zeros(2, 1, 7, 5), images((1, 7, 5)))
    assert [type(op).__name__ for op in program.ops] == ["Input", "Reshape", "Linear", "Neuron", "Linear"]


@pytest.mark.parametrize("bits", [4, 16])
def test_other_weight_bits_are_as_exact(bits):
    program, found = equal_program(
        Chain(3, LIF), torch.zeros(1, 2, 7, 5), images((2, 7, 5)), weight_bits=bits
    )
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
    program, _ = equal_program(model, torch.zeros(1, 2, 7, 5), pixels, weight_bits=16)
    mean, std = (torch.tensor(v).view(2, 1, 1) for v in (MEAN, STD))
    with torch.no_grad():
        real = model((torch.from_numpy(pixels) / 255 - mean) / std).numpy()
    assert np.abs(program.run(pixels).logits - real).max() < 0.01
