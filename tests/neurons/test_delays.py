"""Learned delays: the kernels of DCLS, exact shifts, and the schedule."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spikedrive.errors import ConfigError, ShapeError, UnknownNameError
from spikedrive.neurons import DelayedLinear
from spikedrive.state import Stream

NAMES = {"v1": "linear", "gauss": "gauss", "max": "max"}


@pytest.mark.parametrize("case", NAMES)
def test_kernel_output_and_gradients_equal_the_original(case, golden) -> None:
    entry = torch.load(golden("dcls_delays") / "cases.pt")[case]
    features, inputs, count = entry["weight"].shape
    layer = DelayedLinear(inputs, features, max_delay=6, count=count, shape=NAMES[case]).double()
    saved = {"weight": entry["weight"], "P": entry["P"], "SIG": entry["SIG"]}
    layer.load_state_dict({key: value for key, value in saved.items() if value is not None})
    torch.testing.assert_close(layer.kernel().flip(-1), entry["dense_kernel"], rtol=0, atol=1e-9)
    x = entry["x"].clone().requires_grad_()
    # the original adds zeros at the end and keeps those steps
    longer = nn.functional.pad(x, (0, entry["right_pad"])).permute(2, 0, 1)
    y = layer(longer).permute(1, 2, 0)
    y.backward(entry["upstream"])
    torch.testing.assert_close(y, entry["y"], rtol=0, atol=1e-9)
    torch.testing.assert_close(x.grad, entry["grad_x"], rtol=0, atol=1e-9)
    for name in ("weight", "P", "SIG"):
        if entry[f"grad_{name}"] is not None:
            torch.testing.assert_close(getattr(layer, name).grad, entry[f"grad_{name}"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", ["gauss", "max", "linear"])
def test_a_kernel_sums_to_its_weights(shape) -> None:
    layer = DelayedLinear(3, 4, max_delay=10, count=2, shape=shape, width=0.5).double()
    # two taps from either end, where no kernel is cut off
    layer.P.data.clamp_(-3, 3)
    torch.testing.assert_close(layer.kernel().sum(-1), layer.weight.sum(-1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", ["gauss", "max", "linear"])
def test_evaluation_shifts_by_whole_steps_exactly(shape) -> None:
    layer = DelayedLinear(1, 5, max_delay=8, shape=shape).eval()
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.P.copy_(torch.tensor([4.0, 1.7, 0.2, -2.6, -4.0]).view(1, 5, 1, 1))
    x = torch.randn(30, 2, 1)
    y = layer(x)
    for feature, delay in enumerate([0, 2, 4, 7, 8]):
        assert torch.equal(y[delay:, :, feature], x[: 30 - delay, :, 0])
        assert y[:delay, :, feature].count_nonzero() == 0


def test_integer_positions_mean_the_same_in_training_with_the_linear_kernel() -> None:
    layer = DelayedLinear(4, 3, max_delay=6, shape="linear").double()
    layer.P.data.round_()
    x = torch.randn(20, 2, 4, dtype=torch.float64)
    soft = layer(x)
    torch.testing.assert_close(layer.eval()(x), soft, rtol=0, atol=1e-6)


def test_the_sharper_the_kernel_the_closer_training_is_to_evaluation() -> None:
    x = torch.randn(40, 2, 4)
    layer = DelayedLinear(4, 6, max_delay=12)
    layer.P.data.round_()
    exact, gaps = layer.eval()(x), []
    layer.train()
    for epoch in (0, 5, 10, 20, 40):
        layer.sharpen(epoch, 40)
        gaps.append(float((layer(x) - exact).abs().mean().detach()))
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 0.3 * gaps[0]
    assert gaps[-1] == gaps[-3]


def test_the_schedule_is_that_of_the_original() -> None:
    layer = DelayedLinear(2, 2, max_delay=24)
    widths = []
    for epoch in range(60):
        layer.sharpen(epoch, 60)
        widths.append(float(layer.SIG.detach().mean()))
        assert layer.SIG.requires_grad == (epoch >= 15)
    expected = [12 * (0.23 / 12) ** (min(epoch, 15) / 15) for epoch in range(60)]
    assert widths == pytest.approx(expected, rel=1e-5)


def test_positions_are_brought_back() -> None:
    layer = DelayedLinear(2, 2, max_delay=4)
    layer.P.data.copy_(torch.tensor([9.0, -9.0, 1.5, 0.0]).view_as(layer.P))
    layer.clamp_positions()
    assert layer.delays().flatten().tolist() == [0.0, 4.0, 0.5, 2.0]


def test_a_delay_is_learned_from_where_the_answer_lies() -> None:
    torch.manual_seed(3)
    x = (torch.rand(60, 4, 1) < 0.2).float()
    layer = DelayedLinear(1, 1, max_delay=10)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.P.fill_(3.0)
    wanted = torch.cat([torch.zeros(7, 4, 1), x[:-7]])
    optimiser = torch.optim.Adam([layer.P], lr=0.1)
    for epoch in range(80):
        layer.sharpen(epoch, 160)
        optimiser.zero_grad()
        (layer(x) - wanted).square().mean().backward()
        optimiser.step()
        layer.clamp_positions()
    assert layer.delays().round().item() == 7
    assert torch.equal(layer.eval()(x), wanted)


def test_streams_with_the_last_inputs_as_its_state() -> None:
    model = nn.Sequential(DelayedLinear(3, 5, max_delay=6)).eval()
    x, stream = torch.randn(20, 2, 3), Stream(model)
    parts = torch.cat([stream(part) for part in x.split([1, 4, 2, 13])])
    torch.testing.assert_close(parts, model(x), rtol=0, atol=1e-6)
    assert torch.equal(stream.state["0"], x[-6:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_delay": 0}, r"DelayedLinear got max_delay=0; it takes a number at least 2. Change max_delay"),
        ({"max_delay": 7}, r"got max_delay=7; it takes an even number.* Take 8"),
        ({"count": 0}, r"got count=0; it takes a number at least 1"),
        ({"width": 0.0}, r"got width=0.0; it takes a number above 0"),
    ],
)
def test_a_wrong_argument_is_refused(arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        DelayedLinear(2, 3, **{"max_delay": 4, **arguments})


def test_what_does_not_fit_is_refused(unchecked) -> None:
    with pytest.raises(
        UnknownNameError, match=r"no shape of a delay kernel named 'gaus'.*The nearest: gauss"
    ):
        DelayedLinear(2, 3, max_delay=4, shape="gaus")
    with pytest.raises(
        ShapeError, match=r"no longer than its longest delay of 4 steps; .* Encode more steps"
    ):
        DelayedLinear(2, 3, max_delay=4)(torch.zeros(4, 1, 2))
    with pytest.raises(ConfigError, match=r"sharpen got epochs=0"):
        DelayedLinear(2, 3, max_delay=4).sharpen(0, 0)
