"""Small networks around each neuron and cell: the verdict, and which multiplications it names."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from spikedrive.auditing import audit
from spikedrive.neurons import (
    EGRU,
    ELM,
    GIF,
    L2MU,
    LIF,
    LMU,
    Accumulate,
    AttentionLIF,
    DelayedLinear,
    DeltaActivation,
    ElasticBiSpike,
    LegendreMemory,
    SpatialAttention,
    SpikingLMU,
    TemporalAttention,
    TwoPoint,
    information_enhanced,
)
from spikedrive.ops.domain import Binary

WIDTH = 4
# a memory is real from its third step on: before, it is a constant, and spikes times constants
STEPS = 3


def between_layers(neuron: nn.Module) -> nn.Module:
    """Real input, the analog layer, the neuron, and a layer that meets what it emits."""
    return nn.Sequential(nn.Linear(WIDTH, WIDTH, bias=False), neuron, nn.Linear(WIDTH, 3, bias=False))


def calibrated() -> ElasticBiSpike:
    neuron = ElasticBiSpike(steps=STEPS)
    neuron.calibrate(torch.randn(STEPS, 2, WIDTH))
    return neuron


ADDITIVE = {
    "elastic": lambda: ElasticBiSpike(amplitude=0.5),
    "elastic signs": lambda: ElasticBiSpike(amplitude=2.0, signs_only=True),
    "gif": lambda: GIF(2, 1, scale=0.3),
    "attention lif": lambda: AttentionLIF(0.5, 0.3),
    "attention lif that resets to its threshold": lambda: AttentionLIF(0.5, 0.3, reset_value=0.3),
    "information enhanced": information_enhanced,
    "delta": lambda: DeltaActivation(0.3, 4),
    "delta learned": lambda: DeltaActivation(0.3, 4, learn_step=True),
    "delta and its sum": lambda: nn.Sequential(
        DeltaActivation(0.25, 4), nn.Linear(WIDTH, WIDTH, bias=False), Accumulate(), LIF()
    ),
}


@pytest.mark.parametrize("name", ADDITIVE)
def test_only_the_analog_layer_multiplies(name) -> None:
    result = audit(between_layers(ADDITIVE[name]()), torch.randn(STEPS, 1, WIDTH), batch_axis=1)
    assert (result.verdict, result.analog, result.exceptions) == ("additive", ("0",), ())
    last = next(row for row in result.layers if row.module == "2")
    assert last.additions > 0 and last.multiplications == 0


@dataclass(frozen=True)
class Named:
    """A network that multiplies, and the operations and kinds that the audit must name in one module."""

    net: nn.Module
    module: str
    kinds: set[tuple[str, str]]
    spikes: bool = False
    behind: str = ""


WEIGHT, CONSTANT = "real x weight", "real x constant"
NAMED = {
    "elastic with a leak that is no shift": Named(
        between_layers(ElasticBiSpike(amplitude=0.7)), "1", {("mul", CONSTANT)}
    ),
    "attention lif with its published leak": Named(between_layers(AttentionLIF()), "1", {("mul", CONSTANT)}),
    "gif with a scale for each token": Named(
        between_layers(GIF(scale=None)),
        "1",
        {("div", "division"), ("div", CONSTANT), ("mul", "real x membrane")},
        behind="2",
    ),
    "two-point cell": Named(between_layers(TwoPoint()), "1", {("mul", "membrane x membrane")}, behind="2"),
    "two-point cell, exponential": Named(
        between_layers(TwoPoint(form="exponential")), "1", {("exp", "exp"), ("mul", "membrane x real")}, behind="2"
    ),
    "temporal attention": Named(
        between_layers(nn.Sequential(TemporalAttention(STEPS), AttentionLIF(0.5, 0.5))),
        "1.0",
        {("sigmoid", "sigmoid"), ("mul", "membrane x real")},
    ),
    "egru": Named(
        nn.Sequential(EGRU(WIDTH, 5), nn.Linear(5, 3)),
        "0",
        {
            ("matmul", WEIGHT), ("sigmoid", "sigmoid"), ("tanh", "tanh"), ("mul", "real x membrane"),
            ("mul", "real x real"),
        },
        spikes=True,
        behind="1",
    ),
    "elm": Named(
        nn.Sequential(ELM(WIDTH, 5, memories=3), nn.Linear(5, 3)),
        "0",
        {("linear", WEIGHT), ("tanh", "tanh"), ("mul", CONSTANT)},
        spikes=True,
        behind="1",
    ),
    "lmu": Named(
        nn.Sequential(LMU(WIDTH, 5, order=2, window=4.0), nn.Linear(5, 3)),
        "0",
        {("matmul", WEIGHT), ("mul", CONSTANT)},
        spikes=True,
        behind="1",
    ),
    "legendre memory": Named(
        nn.Sequential(LegendreMemory(WIDTH, order=2, window=4.0), nn.Linear(2 * WIDTH, 3)),
        "0",
        {("matmul", WEIGHT)},
        spikes=True,
        behind="1",
    ),
    "spiking lmu": Named(
        nn.Sequential(SpikingLMU(WIDTH, 5, order=2, window=4.0), nn.Linear(5, 3)),
        "0.memory",
        {("matmul", WEIGHT)},
        spikes=True,
    ),
    "l2mu with a leak that is no shift": Named(
        nn.Sequential(L2MU(WIDTH, 5, memories=2, order=2, window=4.0, decays=(0.3, 0.5, 0.5)), nn.Linear(5, 3)),
        "0",
        {("mul", CONSTANT)},
        spikes=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_what_multiplies_is_named(name) -> None:
    case = NAMED[name]
    example = torch.randint(0, 2, (STEPS, 1, WIDTH)).float() if case.spikes else torch.randn(STEPS, 1, WIDTH)
    result = audit(case.net, example, batch_axis=1, inputs=(Binary(),) if case.spikes else ())
    assert result.verdict == "hybrid"
    found = {(e.op.split(".")[1], e.kind) for e in result.exceptions if e.module == case.module}
    assert found == case.kinds
    # what the neuron emits is multiplied by the next weights exactly where it is real
    assert {e.module for e in result.exceptions if not e.module.startswith(case.module.split(".")[0])} == (
        {case.behind} if case.behind else set()
    )


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(DelayedLinear(WIDTH, 5, max_delay=2), LIF(), nn.Linear(5, 3)),
        nn.Sequential(L2MU(WIDTH, 5, memories=2, order=2, window=4.0, current_decay=0.5), nn.Linear(5, 3)),
    ],
    ids=["delays", "l2mu"],
)
def test_between_spikes_delays_and_spiking_memories_only_add(net) -> None:
    result = audit(net, torch.randint(0, 2, (3, 1, WIDTH)).float(), batch_axis=1, inputs=(Binary(),))
    assert (result.verdict, result.analog) == ("additive", ())


def test_amplitudes_of_their_own_fold_into_no_weight() -> None:
    result = audit(between_layers(calibrated()), torch.randn(STEPS, 1, WIDTH), batch_axis=1)
    assert result.verdict == "hybrid"
    assert "2" in {e.module for e in result.exceptions}


def test_spatial_attention_is_named_with_its_search_for_the_largest() -> None:
    net = nn.Sequential(SpatialAttention(4, 6), AttentionLIF(0.5, 0.5))
    result = audit(net, torch.randn(4, 1, 6, 3, 3), batch_axis=1)
    assert result.verdict == "hybrid"
    kinds = {(e.module, e.op.split(".")[1], e.kind) for e in result.exceptions}
    assert {("0.conv1", "conv2d", WEIGHT), ("0", "sigmoid", "sigmoid"), ("0", "mul", "real x real")} <= kinds
    # 3 of 6 channels for each of 4 steps, and 2 of 4 steps for each of 6 channels, found one by one
    searches = [row.compares for row in result.layers if "topk" in row.op]
    assert searches == [24 * 3, 24 * 2]
