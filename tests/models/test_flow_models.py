"""Optical flow at every step: the spiking U-Net and its twins."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import spikedrive as sd
from spikedrive.auditing import audit
from spikedrive.blocks import LeakyMean, fuse
from spikedrive.errors import ConfigError, UnknownNameError
from spikedrive.models import get_card
from spikedrive.models.events.conv_lstm import ConvLSTM
from spikedrive.ops.domain import Integer

CELLS = ("snn", "lstm", "none")
cells = pytest.mark.parametrize("cell", CELLS)


def counts(*shape: int) -> Tensor:
    return torch.randint(0, 4, shape, generator=torch.Generator().manual_seed(0)).float()


def made(cell: str, **arguments: object) -> sd.SpikingModel:
    torch.manual_seed(1)
    if cell == "snn":
        # so that neurons without training spike at every scale
        arguments["neuron"] = {"name": "LIF", "threshold": 0.1}
    return sd.create_model("event_flow_nano", widths=(4, 6, 8), cell=cell, **arguments).eval()


@pytest.mark.parametrize("name", sd.list_models("event_flow_*"))
def test_card_says_what_is_built(name: str) -> None:
    card = get_card(name)
    with torch.device("meta"):
        model = sd.create_model(name)
    assert sum(p.numel() for p in model.parameters()) == card.params
    assert (card.task, card.modality, model.steps) == ("flow", "events", card.steps)


@cells
@pytest.mark.parametrize("size", [(16, 16), (13, 22)])
def test_every_step_and_pixel_has_a_flow(cell: str, size: tuple[int, int]) -> None:
    x = counts(5, 3, 2, *size)
    model = made(cell)
    y = model(x)
    assert y.shape == (5, 3, 2, *size)
    scales = model.forward_scales(x)  # pyright: ignore[reportCallIssue]
    assert [tuple(s.shape) for s in scales] == [tuple(y.shape)] * 3
    assert torch.equal(scales[-1], y)


@cells
def test_features_are_finest_first(cell: str) -> None:
    found = made(cell).forward_features(counts(2, 1, 2, 16, 16))
    assert [tuple(f.shape[2:]) for f in found] == [(4, 8, 8), (6, 4, 4), (8, 2, 2)]
    assert torch.equal(made(cell).forward_features(counts(2, 1, 2, 16, 16), [1])[0], found[1])


@cells
def test_a_stream_gives_what_the_whole_gives(cell: str) -> None:
    model, x = made(cell).double(), counts(6, 2, 2, 16, 16).double()
    whole = model(x)
    first, state = sd.run(model, x[:2])
    last, _ = sd.run(model, x[2:], state)
    torch.testing.assert_close(torch.cat([first, last]), whole, rtol=0, atol=1e-12)


def test_only_the_network_without_memory_forgets() -> None:
    x = counts(4, 1, 2, 16, 16) * 4
    for cell in CELLS:
        model = made(cell)
        difference = float((model(x)[3] - model(x[3:])[0]).abs().max().detach())
        assert (difference < 1e-5) == (cell == "none"), cell


@cells
def test_a_gradient_reaches_every_parameter(cell: str) -> None:
    model = made(cell)
    model(counts(4, 2, 2, 16, 16)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_spiking_one_is_additive_and_the_others_are_not() -> None:
    x = counts(3, 2, 2, 16, 16)
    verdicts = {
        cell: audit(fuse(made(cell)), x[:, :1], data=x, inputs=[Integer(255)]).verdict for cell in CELLS
    }
    assert verdicts == {"snn": "additive", "lstm": "hybrid", "none": "hybrid"}


def test_the_lstm_follows_its_equations() -> None:
    torch.manual_seed(0)
    cell, x = ConvLSTM(2).double(), torch.randn(3, 1, 2, 1, 1, dtype=torch.float64)
    plain = torch.nn.LSTM(2, 2).double()
    weight = cell.gates.weight.detach()[:, :, 0, 0]
    # torch orders the gates i, f, g, o, ours i, f, o, g
    order = torch.tensor([0, 1, 2, 3, 6, 7, 4, 5])
    assert cell.gates.bias is not None
    with torch.no_grad():
        plain.weight_ih_l0.copy_(weight[order, :2])
        plain.weight_hh_l0.copy_(weight[order, 2:])
        plain.bias_ih_l0.copy_(cell.gates.bias[order])
        plain.bias_hh_l0.zero_()
    torch.testing.assert_close(cell(x).flatten(2), plain(x.flatten(2))[0], rtol=0, atol=1e-14)


def test_a_leaky_mean_follows_its_equation() -> None:
    x = torch.tensor([8.0, 0.0, 4.0]).view(3, 1, 1)
    assert LeakyMean(2)(x).flatten().tolist() == [2.0, 1.5, 2.125]
    assert torch.equal(LeakyMean(0)(x), x)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="gru"):
        made("gru")
    with pytest.raises(ConfigError, match="two widths"):
        sd.create_model("event_flow_nano", widths=(4,))
    with pytest.raises(ConfigError, match="classes=3"):
        sd.create_model("event_flow_nano", classes=3)
    with pytest.raises(ConfigError, match="odd"):
        ConvLSTM(2, 2)
    with pytest.raises(ConfigError, match="shift"):
        LeakyMean(-1)
