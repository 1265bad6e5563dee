"""One clear error for each wrong input, name and argument; and what models/ may not contain."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import spikedrive as sd
from spikedrive.errors import ConfigError, DtypeError, ShapeError, UnknownNameError
from spikedrive.models import ModelCard, get_card, register_model
from spikedrive.models.metaformers.meta_spikeformer import MetaSpikeformer
from spikedrive.neurons import ILIF, LIF, NILIF

NANO = "meta_spikeformer_nano"
TINY = {"widths": (8, 16, 16)}


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (1, 28, 28),
            r"got an input of shape \(1, 28, 28\); it takes \(B, C, H, W\) with C = 1.*unsqueeze\(0\)",
        ),
        ((2, 28, 28, 1), r"channels stand last: x\.movedim\(-1, -3\)"),
        ((2, 3, 28, 28), r"it takes \(B, C, H, W\) with C = 1.*in_channels=3"),
        ((4, 2, 1, 28, 28), r"shape \(4, 2, 1, 28, 28\); it takes \(B, C, H, W\)"),
        ((28,), r"it takes \(B, C, H, W\)"),
    ],
)
def test_a_wrong_shape_is_named(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        sd.create_model(NANO, **TINY)(torch.zeros(shape))


def test_frames_need_their_time_axis() -> None:
    model = sd.create_model("spike_driven_transformer_gesture_2_256", width=32, depth=1, heads=4)
    with pytest.raises(ShapeError, match=r"it takes \(T, B, C, H, W\) with C = 2"):
        model(torch.zeros(2, 2, 16, 16))


def test_pictures_of_bytes_are_refused() -> None:
    with pytest.raises(DtypeError, match=r"dtype torch\.uint8; it takes floating point.*normalise"):
        sd.create_model(NANO, **TINY)(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))


def test_another_precision_is_refused_unless_autocast_mixes_them() -> None:
    model, x = sd.create_model(NANO, **TINY), torch.randn(2, 1, 28, 28)
    with pytest.raises(DtypeError, match=r"dtype torch\.float64; it takes torch\.float32"):
        model(x.double())
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(x.bfloat16()).float().square().sum()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_unknown_names_list_the_nearest() -> None:
    with pytest.raises(
        UnknownNameError, match=r"named 'meta_spikeformer_15M'.*The nearest: meta_spikeformer_15m"
    ):
        sd.create_model("meta_spikeformer_15M")
    with pytest.raises(
        ConfigError, match=r"the argument 'width', which it does not take\. The nearest: widths"
    ):
        sd.create_model(NANO, width=3)
    with pytest.raises(UnknownNameError, match="no neuron named 'LIFF'"):
        sd.create_model(NANO, neuron="LIFF")
    with pytest.raises(UnknownNameError, match="no kind of input named 'video'"):
        sd.create_model(NANO, input="video")
    with pytest.raises(UnknownNameError, match="no initialisation named 'xavier'"):
        sd.create_model(NANO, init="xavier")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"steps": 0}, "got steps=0; it takes a number at least 1"),
        ({"steps": 1.5}, "got steps=1.5; it takes a whole number of at least 1"),
        ({"steps": "4"}, "got steps='4'; it takes a whole number of at least 1"),
        ({"classes": 0}, "got classes=0"),
        ({"widths": (8, 0, 16)}, "ConvBN got out_channels=0; it takes a number at least 1"),
        ({"strides": (0, 2, 2)}, "ConvBN got stride=0; it takes a number at least 1"),
        ({"conv_ratio": -1}, "ConvBN got out_channels=-32"),
        ({"depths": (1, -1, 1)}, "got depths=-1; it takes a number at least 0"),
        ({"heads": 5}, "heads=5 for 128 channels; it takes a divisor"),
        ({"attention_scale": 0.3}, "scale=0.3; it takes a power of two"),
        ({"depths": (1, 1)}, "3 widths, 2 depths, 3 strides"),
        ({"separable_kernel": 4}, "kernel_size=4; it takes an odd number"),
        ({"drop_path": 1.5}, "DropPath got rate=1.5"),
        ({"neuron": NILIF, "attention_threshold": 0.5}, "NILIF got the relative threshold 0.5"),
        ({"neuron": LIF()}, "got one LIF module; each place needs its own"),
        ({"neuron": {"levels": 2}}, "has no name"),
        ({"neuron": {"name": "ILIF", "level": 2}}, "ILIF got {'level': 2}, which it does not take"),
        ({"neuron": dict}, "which gives a dict"),
    ],
)
def test_wrong_arguments_are_named(config: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        sd.create_model(NANO, **config)


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("spike_driven_transformer_8_384", {"depth": 0}, "got depth=0; it takes a number at least 1"),
        ("spikformer_8_384", {"depth": -1}, "got depth=-1; it takes a number at least 1"),
        ("spikformer_v2_8_384", {"depth": 0.5}, "got depth=0.5; it takes a whole number"),
        ("masked_spiking_transformer_tiny", {"window": 0}, "got window=0; it takes a number at least 1"),
        ("masked_spiking_transformer_tiny", {"image_size": 16}, "got window=0; it takes a number at least 1"),
        ("qsd_transformer_nano", {"weight_bits": 4.5}, "got bits=4.5; it takes a whole number"),
    ],
)
def test_networks_without_blocks_and_halves_of_bits_are_refused(
    name: str, config: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        sd.create_model(name, **config)


def test_pictures_of_nothing_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"shape \(2, 1, 0, 28\); it takes pictures of at least one pixel"):
        sd.create_model(NANO, **TINY)(torch.zeros(2, 1, 0, 28))
    small = sd.create_model("masked_spiking_transformer_tiny", width=12, depths=(1,), heads=(3,))
    with pytest.raises(ShapeError, match=r"a map of 3 x 28; it takes at least one patch of 4 x 4\. Enlarge"):
        small(torch.zeros(1, 3, 3, 28))


@pytest.mark.parametrize(
    ("config", "message"),
    [({"width": 20}, "multiple of 8"), ({"pooling": "012"}, "four digits 0 or 1")],
)
def test_wrong_stems_are_named(config: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sd.create_model("spike_driven_transformer_8_384", **config)


def test_levels_that_there_are_not_are_named() -> None:
    model = sd.create_model(NANO, **TINY)
    with pytest.raises(ConfigError, match=r"levels=\[3\]; it takes some of 0\.\.2"):
        model.forward_features(torch.zeros(1, 1, 28, 28), levels=[3])
    for levels in ([0.5], 1, []):
        with pytest.raises(ConfigError, match=re.escape(f"got levels={levels}; it takes some of 0..2")):
            model.forward_features(torch.zeros(1, 1, 28, 28), levels=levels)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "neuron", ["LIF", "IF", "PLIF", "ILIF", LIF, {"name": "ILIF", "levels": 2}, lambda: ILIF(8)]
)
def test_every_neuron_fits_every_place(neuron: object) -> None:
    model = sd.create_model(NANO, neuron=neuron, steps=2, **TINY)
    assert model(torch.randn(2, 1, 28, 28)).shape == (2, 10)


def test_the_attention_threshold_is_relative() -> None:
    threshold = lambda neuron: (  # noqa: E731
        sd.create_model("meta_spikeformer_15m", widths=(8, 8, 8, 8, 8), neuron=neuron)
        .neurons()["stages.3.blocks.0.attention.out_neuron"]
        .threshold
    )
    assert threshold("LIF") == 0.5
    assert threshold(lambda: LIF(threshold=2.0)) == 1.0


def test_names_are_registered_once() -> None:
    with pytest.raises(ConfigError, match="registered already"):

        @register_model(MetaSpikeformer, params=1, input_size=(1, 28, 28))
        def meta_spikeformer_nano() -> dict:
            return {"widths": (8, 16, 16)}


def test_cards_are_found_by_name_and_pattern() -> None:
    assert isinstance(get_card(NANO), ModelCard)
    assert sd.list_models("meta_spikeformer_spiking_*") == [
        "meta_spikeformer_spiking_15m", "meta_spikeformer_spiking_31m", "meta_spikeformer_spiking_55m",
    ]  # fmt: skip
    with pytest.raises(UnknownNameError, match="no model named 'nano'"):
        get_card("nano")


def test_a_fused_model_is_not_fused_again() -> None:
    fused = sd.fuse(sd.create_model(NANO, **TINY))
    with pytest.raises(ConfigError, match="fused already"):
        sd.fuse(fused)


def test_a_model_without_a_card_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="without a card"):
        sd.save_model(MetaSpikeformer(widths=(8, 8, 8, 8, 8)), tmp_path / "m.safetensors")


FORBIDDEN = (
    "autograd.Function", "flatten(0, 1)", "for t in range", "reset(", "torch.cuda", "BatchNorm", "utils.checkpoint",
)  # fmt: skip


@pytest.mark.parametrize("text", FORBIDDEN)
def test_models_leave_time_state_and_devices_to_lower_layers(text: str) -> None:
    folder = Path(sd.__file__).parent / "models"
    code = {p.name: re.sub(r'""".*?"""', "", p.read_text(), flags=re.DOTALL) for p in folder.rglob("*.py")}
    assert len(code) >= 5
    assert [name for name, source in code.items() if text in source] == []
