"""MMHCO: one camera or two, what the tables are made for, and what the published size counts."""

from __future__ import annotations

import re

import pytest
import torch

import spikedrive as sd
from spikedrive.errors import ConfigError, ShapeError, UnknownNameError

SMALL = {
    "widths": (8, 16), "depths": (1, 1), "image_size": 16, "layer_scale": 1.0, "policy": (8, 8), "dropout": 0.0,
    "classes": 5,
}  # fmt: skip


def small(**config) -> sd.SpikingModel:
    torch.manual_seed(0)
    return sd.create_model("mmhco_nano", **{**SMALL, **config}).eval()


def clip(channels: int) -> torch.Tensor:
    return torch.randn(3, 2, channels, 16, 16, generator=torch.Generator().manual_seed(1))


def test_parameters_are_those_of_the_released_code() -> None:
    # 76,749,768 of its backbone for two cameras, and one linear layer for 300 classes
    with torch.device("meta"):
        model = sd.create_model("mmhco", inputs=["rgb", "events"])
        wide = sd.create_model("mmhco", widths=(128, 256, 512, 1024))
    assert sum(p.numel() for p in model.parameters()) == 76_749_768 + 768 * 300 + 300
    assert sum(p.numel() for p in wide.parameters()) == 134_841_416 + 1024 * 300 + 300


@pytest.mark.parametrize(
    ("inputs", "channels"), [(["rgb", "events"], 5), (["events", "rgb"], 5), (["rgb"], 3), (["events"], 2)]
)
@pytest.mark.parametrize("neuron", [None, "LIF", {"name": "ILIF", "levels": 4}])
def test_one_camera_or_two(inputs: list[str], channels: int, neuron: object) -> None:
    model = small(inputs=inputs, neuron=neuron)
    assert model.in_channels == channels
    y = model(clip(channels))
    assert y.shape == (2, 5) and y.isfinite().all()
    assert [tuple(f.shape) for f in model.forward_features(clip(channels))] == [
        (3, 2, 8 * len(inputs), 4, 4), (3, 2, 16 * len(inputs), 2, 2),
    ]  # fmt: skip


def test_each_camera_says_something_and_changes_what_the_other_says() -> None:
    model, x = small(), clip(5)
    for some in (slice(0, 3), slice(3, 5)):
        other = x.clone()
        other[:, :, some] += 1
        assert not torch.allclose(model(other), model(x), atol=1e-6)
    # what the other camera sees reaches the maps of this one
    only = x.clone()
    only[:, :, 3:] += 1
    rgb, seen = model.forward_features(x)[-1][:, :, :16], model.forward_features(only)[-1][:, :, :16]
    assert not torch.allclose(rgb, seen, atol=1e-6)


def test_a_frame_is_answered_by_itself() -> None:
    model, x = small().double(), clip(5).double()
    each = torch.stack([model(x[t : t + 1]) for t in range(3)])
    torch.testing.assert_close(model(x), each.mean(0), rtol=0, atol=1e-12)


def test_without_conduction_it_is_another_model() -> None:
    model, x = small(), clip(5)
    bare = small(mixer="none")
    bare.load_state_dict({k: v for k, v in model.state_dict().items() if ".to_k." not in k})
    assert not torch.allclose(bare(x), model(x), atol=1e-6)
    assert bare.card is not None and "mixer='none'" in bare.card.unpublished


def test_pictures_need_not_be_square() -> None:
    assert small(image_size=(12, 16))(clip(5)[..., :12, :]).shape == (2, 5)


@pytest.mark.parametrize(
    ("config", "kind", "message"),
    [
        ({"inputs": []}, ConfigError, "inputs=[]; it takes one or both of rgb, events, each once"),
        ({"inputs": "rgb"}, ConfigError, "inputs='rgb'; it takes one or both"),
        ({"inputs": ["rgb", "rgb"]}, ConfigError, "each once"),
        ({"inputs": ["rgb", "depth"]}, UnknownNameError, "no camera named 'depth'"),
        ({"event_channels": 4}, ConfigError, "event_channels=4; it takes 2 for polarities"),
        ({"widths": (8,)}, ConfigError, "1 widths and 2 depths"),
        ({"activation": "tanh"}, UnknownNameError, "no activation named 'tanh'"),
        ({"mixer": "cold"}, UnknownNameError, "no token mixer named 'cold'"),
    ],
)
def test_wrong_arguments_say_what_is_taken(config: dict, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        small(**config)


def test_frames_of_another_size_are_named() -> None:
    with pytest.raises(ShapeError, match="image_size"):
        small()(torch.zeros(1, 2, 5, 32, 32))
