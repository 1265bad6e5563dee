"""Relevance propagation: the golden layer, a network by hand, conservation, and where saliency lands."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import spikedrive as sd
from spikedrive.blocks import MeanOverTime
from spikedrive.errors import ConfigError, UnknownNameError
from spikedrive.neurons import IF, LIF
from spikedrive.ops.fold import over_time
from spikedrive.training.relevance import layer_relevance, propagate_relevance


@pytest.mark.parametrize("alpha", [1, 2])
def test_a_layer_equals_the_golden_one(alpha: int, golden) -> None:
    cases = torch.load(golden("slrp_linear") / "cases.pt")
    found = layer_relevance(F.linear, cases["X"], cases["W"], cases["R_out"], alpha=alpha)
    torch.testing.assert_close(found, cases[f"R_in_alpha{alpha}"], rtol=0, atol=1e-12)


def test_a_layer_conserves_relevance_where_something_excites() -> None:
    x, weight, relevance = (
        torch.rand(3, 6).double(),
        torch.rand(4, 6).double() - 0.3,
        torch.rand(3, 4).double(),
    )
    found = layer_relevance(F.linear, x, weight, relevance)
    torch.testing.assert_close(found.sum(1), relevance.sum(1))


class Frames(nn.Module):
    """Linear, neuron, linear, mean over the steps, without biases."""

    input = "frames"

    def __init__(self, neuron: nn.Module, first: list[list[float]], last: list[list[float]]) -> None:
        super().__init__()
        self.first, self.last = (nn.Linear(len(w[0]), len(w), bias=False).double() for w in (first, last))
        self.first.weight.data, self.last.weight.data = (
            torch.tensor(first).double(),
            torch.tensor(last).double(),
        )
        self.neuron, self.readout = neuron, MeanOverTime()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.readout(self.last(self.neuron(over_time(self.first, x))))


def test_relevance_goes_back_to_the_step_that_charged_the_membrane() -> None:
    # 0.5 and then 0.75 of input: it fires at the second step, of whose charge 0.5 / 1.25 was held before
    model = Frames(IF(), [[1.0]], [[2.0]])
    x = torch.tensor([0.5, 0.75]).double().view(2, 1, 1)
    assert model(x).item() == 1.0
    back = propagate_relevance(model, x, method="sltrp")
    torch.testing.assert_close(back.flatten(), torch.tensor([0.4, 0.6]).double())
    # without time it is shared equally: the layer meets the mean of the steps
    torch.testing.assert_close(propagate_relevance(model, x).flatten(), torch.tensor([0.5, 0.5]).double())


def test_a_leak_holds_less() -> None:
    # h = v / 2 + x / 2: 1.0 then 1.75; the second charge is 0.25 + 0.875
    model = Frames(LIF(), [[1.0]], [[2.0]])
    x = torch.tensor([1.0, 1.75]).double().view(2, 1, 1)
    back = propagate_relevance(model, x, method="sltrp").flatten()
    torch.testing.assert_close(back, torch.tensor([0.25, 0.875]).double() / 1.125)


def test_inputs_that_inhibit_get_none_and_classes_are_chosen() -> None:
    model = Frames(IF(), [[1.0, 0.0], [0.0, 1.0]], [[3.0, -1.0], [-1.0, 1.0]])
    x = torch.ones(1, 1, 2).double()
    assert propagate_relevance(model, x).flatten().tolist() == [2.0, 0.0]
    assert propagate_relevance(model, x, start=-5.0).flatten().tolist() == [-5.0, 0.0]
    model.last.weight.data[1] = torch.tensor([-1.0, 4.0]).double()
    assert propagate_relevance(model, x, classes=torch.tensor([1])).flatten().tolist() == [0.0, 3.0]


CONVOLUTIONAL = {
    "sew_resnet_nano": {"neuron": "LIF", "depths": (1, 1), "in_channels": 1, "input": "frames"},
    "csnn_nano": {"neuron": {"name": "LIF", "threshold": 0.1}, "pools": (2, 2), "in_channels": 1},
}


@pytest.mark.parametrize("name", CONVOLUTIONAL)
@pytest.mark.parametrize("method", ["slrp", "sltrp"])
def test_a_convolutional_model_sees_what_excites_it(method: str, name: str) -> None:
    torch.manual_seed(0)
    model = sd.create_model(name, steps=4, classes=3, widths=(8, 16), **CONVOLUTIONAL[name]).train()
    x = torch.rand(4, 2, 1, 16, 16)
    with torch.no_grad():
        for _ in range(5):
            model(x)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x[..., 8:] = 0
    found = propagate_relevance(model, x, method=method)
    assert found.shape == x.shape and found.isfinite().all()
    # nothing comes from where nothing is
    assert found[..., :8].any() and not found[..., 8:].any()
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any("forward" in neuron.__dict__ for neuron in model.neurons().values())


def test_what_has_no_rule_is_named() -> None:
    model = sd.create_model("spike_driven_transformer_nano", width=32, depth=1, neuron="LIF", steps=2)
    with pytest.raises(ConfigError, match=r"Relevance came to .*, which has no rule"):
        propagate_relevance(model, torch.rand(1, 1, 28, 28))
    with pytest.raises(UnknownNameError, match="no way to propagate relevance named 'lrp'"):
        propagate_relevance(model, torch.rand(1, 1, 28, 28), method="lrp")
    with pytest.raises(ConfigError, match=r"over time came to a .*; it takes IF, LIF and PLIF"):
        propagate_relevance(
            Frames(sd.neurons.KLIF(), [[1.0]], [[1.0]]).double(), torch.rand(2, 1, 1).double(), method="sltrp"
        )
    with pytest.raises(ConfigError, match=r"alpha=0\.5; it takes a number of at least 1"):
        layer_relevance(F.linear, torch.rand(1, 1), torch.rand(1, 1), torch.rand(1, 1), alpha=0.5)
