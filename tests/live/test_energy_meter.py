"""The meter of energy and spikes, against networks that are counted by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikedrive as sd
from spikedrive.blocks.language import LanguageModel, token_neuron
from spikedrive.errors import ConfigError
from spikedrive.live.energy import EnergyMeter, text_meter

ADDITION, MAC = 0.9e-12, 4.6e-12
"""Joules, by the table 45nm."""


class Toy(LanguageModel):
    """Two integrate-and-fire neurons and a head of three outputs; with `real`, a layer that reads the table too.

    Token 0 charges neither, token 1 the first by 1/2 and the second by 1, token 2 the first by 3.
    """

    def __init__(self, neuron: dict | None, *, real: bool = False) -> None:
        super().__init__(vocabulary=3)
        self.table = nn.Embedding(3, 2)
        self.table.weight.data = torch.tensor([[0.0, 0.0], [0.5, 1.0], [3.0, 0.0]])
        self.neuron = token_neuron(neuron) if neuron else nn.Identity()
        self.head = nn.Linear(2, 3, bias=False)
        self.real = nn.Linear(2, 3, bias=False) if real else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(self.forward_blocks(x))
        return y if self.real is None else y + self.real(self.table(x))

    def forward_blocks(self, x: Tensor) -> Tensor:
        return self.neuron(self.table(self.check_ids(x)))


FIRE = {"name": "IF", "threshold": 1.0, "reset": "soft"}


def read(model: LanguageModel, meter: EnergyMeter, parts: Sequence[Sequence[int]]) -> None:
    stream = sd.Stream(model.eval(), along="tokens")
    for part in parts:
        with torch.inference_mode(), meter.watching(len(part)):
            stream(torch.tensor(part)[:, None])


@pytest.mark.parametrize("prompt", [[1], [0], [2, 1, 0]])
def test_spikes_and_joules_of_single_tokens(prompt: list[int]) -> None:
    """Whatever the prompt is, one on which nothing fires included."""
    model = Toy(FIRE).eval()
    meter = text_meter(model, prompt)
    read(model, meter, [[1], [1], [0], [2]])
    # at the second token the first neuron has gathered 1; of the charge of 3 one spike goes out
    assert [part.spikes for part in meter.spent] == [1, 2, 0, 1]
    wanted = [spikes * 3 * ADDITION for spikes in (1, 2, 0, 1)]
    assert [part.joules for part in meter.spent] == pytest.approx(wanted, abs=1e-18)
    assert (meter.steps, meter.firing_rate) == (4, 4 / 8)
    assert meter.joules == pytest.approx(sum(wanted) / 4)
    assert meter.median_joules == pytest.approx(3 * ADDITION)


def test_several_tokens_at_once_are_as_many() -> None:
    model = Toy(FIRE).eval()
    meter = text_meter(model, [1])
    read(model, meter, [[1, 1, 0, 2]])
    assert (meter.steps, meter.firing_rate) == (4, 4 / 8)
    assert meter.joules == meter.median_joules == pytest.approx(4 * 3 * ADDITION / 4)


def test_an_integer_is_as_many_additions() -> None:
    model = Toy({"name": "ILIF", "levels": 4}).eval()
    meter = text_meter(model, [0])
    read(model, meter, [[2]])
    assert meter.spent[0].spikes == 3
    assert meter.joules == pytest.approx(3 * 3 * ADDITION)


def test_what_reads_real_numbers_costs_the_same_at_any_token() -> None:
    model = Toy(FIRE, real=True).eval()
    meter = text_meter(model, [1])
    read(model, meter, [[1], [0]])
    assert [part.joules for part in meter.spent] == pytest.approx([6 * MAC + 3 * ADDITION, 6 * MAC])


def test_no_neuron_sends_no_spikes() -> None:
    model = Toy(None).eval()
    meter = text_meter(model, [1])
    read(model, meter, [[1], [0]])
    assert (meter.neuron_layers, meter.firing_rate) == (0, None)
    assert meter.joules == meter.median_joules == pytest.approx(6 * MAC)


def test_the_program_counts_the_same() -> None:
    model = Toy(FIRE).eval()
    meter, stream = text_meter(model, [0]), sd.compile(model, torch.zeros(1, 1).long()).stream()
    for token in (1, 1, 0, 2):
        meter.step(stream, np.array([token]))
    assert [part.spikes for part in meter.spent] == [1, 2, 0, 1]
    assert [part.joules for part in meter.spent] == pytest.approx(
        [n * 3 * ADDITION for n in (1, 2, 0, 1)], abs=1e-18
    )
    other = sd.create_model("spikegpt_additive_6m", width=16, depth=1).eval()
    with pytest.raises(
        ConfigError, match=r"a program without the layer blocks.0.*; it counts the program of its model"
    ):
        text_meter(other, [0]).step(stream, np.array([1]))
