"""A small network of bars, trained nowhere: what is tested is how it is played, not what it sees."""

from __future__ import annotations

import pytest
import torch

import spikedrive as sd
from event_training import SIDE, TINY, WINDOW, moving_bar
from spikedrive.blocks import SpikingModel
from spikedrive.data.events import FrameReader
from spikedrive.live import Network

STEPS = 4


@pytest.fixture(scope="session")
def model() -> SpikingModel:
    """Its norms saw such bars, so that all layers fire."""
    torch.manual_seed(1)
    made = sd.create_model(
        "spike_driven_transformer_cifar10_dvs_2_256",
        **{**TINY, "classes": 3, "steps": STEPS, "neuron": {"name": "IF", "threshold": 0.5}},
    )
    for part in made.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(part.bias, 0.1)
    made.train()
    frames = FrameReader(STEPS, SIDE, SIDE, WINDOW)([moving_bar(k % 2 == 1, k) for k in range(8)])
    with torch.no_grad():
        for _ in range(30):
            made(frames)
    torch.nn.init.normal_(made.get_parameter("head.linear.weight"))
    return made.eval()


@pytest.fixture(scope="session", params=["torch", "engine"])
def network(model: SpikingModel, request: pytest.FixtureRequest) -> Network:
    reader = FrameReader(STEPS, SIDE, SIDE, WINDOW)
    return Network(model, reader, ("a", "b", "c"), engine=request.param == "engine")
