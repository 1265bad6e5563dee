"""SEW-ResNet, MS-ResNet, spiking VGG and ASA-CSNN: what the registry's contracts do not say."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
import torch
from families import inputs, tiny
from published_convolutional import Checkpoint, asa_csnn, integrate, ms_resnet, sew_resnet, spiking_vgg

import spikedrive as sd
from engine.chains import images
from engine.equality import equal_program
from spikedrive.errors import (
    CheckpointError,
    ConfigError,
    LoweringError,
    ShapeError,
    StateError,
    UnknownNameError,
)
from spikedrive.models import MODELS
from spikedrive.models import convolutional as families

IF = partial(integrate, decay=1.0, leak_input=False, threshold=1.0, strict=False)
LIF = partial(integrate, decay=0.5, leak_input=True, threshold=0.25, strict=False)
MS = partial(integrate, decay=0.25, leak_input=False, threshold=0.5, strict=True)
ASA = partial(integrate, decay=0.3, leak_input=False, threshold=0.3, strict=False)
BASIC, BOTTLENECK = ((3, 1), (3, 1)), ((1, 1), (3, 1), (1, 4))
RES = {"widths": (8, 16), "depths": (1, 2)}
VGG = ((8,), (8, 16))
VGG_CONFIG: dict[str, Any] = {"widths": VGG, "hidden": (12, 12), "neuron": {"name": "LIF", "threshold": 0.25}}

PUBLISHED: dict[str, tuple[Any, Any, str, dict[str, Any]]] = {
    "sew add": (IF, partial(sew_resnet, depths=(1, 2), convs=BASIC, join="add", inner=".module"), "sew_resnet18", RES),
    "sew and": (
        IF, partial(sew_resnet, depths=(1, 2), convs=BASIC, join="and", inner=""), "sew_resnet34",
        {**RES, "connect": "and"},
    ),
    "sew bottleneck": (
        IF, partial(sew_resnet, depths=(1, 2), convs=BOTTLENECK, join="iand", inner=".module"), "sew_resnet50",
        {**RES, "connect": "iand"},
    ),
    "ms": (MS, partial(ms_resnet, depths=(1, 2), deep=False), "ms_resnet18", RES),
    "ms deep": (MS, partial(ms_resnet, depths=(1, 2), deep=True), "ms_resnet104", RES),
    "vgg": (LIF, partial(spiking_vgg, widths=VGG, batch_norm=True), "spiking_vgg11", VGG_CONFIG),
    "vgg plain": (
        LIF, partial(spiking_vgg, widths=VGG, batch_norm=False), "spiking_vgg16",
        {**VGG_CONFIG, "batch_norm": False},
    ),
    "asa": (
        ASA, partial(asa_csnn, widths=(8, 16), pools=(1, 2)), "asa_csnn",
        {"widths": (8, 16), "pools": (1, 2), "size": 16, "hidden": (12,), "reduction": 2, "in_channels": 3,
         "shared_masks": True},
    ),
}  # fmt: skip


def published(case: str) -> tuple[Checkpoint, torch.Tensor, torch.Tensor]:
    """A checkpoint in the published layout, the frames and the answer that it belongs to."""
    checkpoint = Checkpoint(PUBLISHED[case][0])
    x = 2 * torch.randn(3, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return checkpoint, x, PUBLISHED[case][1](checkpoint, x)


def loaded(case: str, checkpoint: dict[str, torch.Tensor], **config: Any) -> sd.SpikingModel:
    arguments = {"steps": 3, "classes": 5, "input": "frames", **PUBLISHED[case][3], **config}
    return sd.from_reference(PUBLISHED[case][2], checkpoint, **arguments).double().eval()


@pytest.mark.parametrize("case", PUBLISHED)
def test_output_and_every_neuron_equal_the_published_network(case: str) -> None:
    checkpoint, x, y = published(case)
    model = loaded(case, checkpoint.tensors)
    seen: dict[str, torch.Tensor] = {}
    for path, neuron in model.neurons().items():
        neuron.register_forward_hook(lambda _m, _i, s, path=path: seen.__setitem__(path, s))
    torch.testing.assert_close(model(x), y, rtol=0, atol=1e-9)
    assert set(seen) == set(model.neurons())
    # both ran their neurons in the same order
    for path, (where, theirs) in zip(seen, checkpoint.spikes.items(), strict=True):
        assert theirs.any(), where
        assert torch.equal(seen[path], theirs), where
        rename = getattr(getattr(families, MODELS[PUBLISHED[case][2]].card.family), "rename", None)
        assert rename is None or rename(where) == path


def test_the_layout_of_spikingjelly_loads() -> None:
    checkpoint, x, y = published("sew add")

    def side_by_side(key: str) -> str:
        key = re.sub(r"downsample\.0\.module\.", "downsample.", key)
        return re.sub(r"conv(\d)\.module\.(\d)", lambda m: ("conv", "bn")[int(m[2])] + m[1], key)

    flat = {side_by_side(key): value for key, value in checkpoint.tensors.items()}
    assert {"layer1.0.bn2.running_mean", "layer2.0.downsample.1.bias"} <= set(flat)
    torch.testing.assert_close(loaded("sew add", flat)(x), y, rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", ["sew add", "vgg", "vgg plain"])
def test_learned_leaks_load(case: str) -> None:
    checkpoint = published(case)[0]
    leaks = {f"{name}.w": torch.tensor(i / 8) for i, name in enumerate(checkpoint.spikes)}
    model = loaded(case, {**checkpoint.tensors, **leaks}, neuron="PLIF")
    assert [neuron.w.item() for neuron in model.neurons().values()] == [i / 8 for i in range(len(leaks))]


MISSING = {
    "sew add": ("layer2.0.downsample.0.module.1.bias", "stages.1.0.shortcut.0.0.bn.bias"),
    "ms deep": ("conv3_x.1.residual_function.4.weight", "stages.1.1.reduce.0.conv.weight"),
    "vgg": ("features.4.weight", "stages.1.0.0.conv.weight"),
    "asa": ("ConvAttLIFs.1.attn.conv2.weight", "stages.1.attention.conv2.weight"),
}


@pytest.mark.parametrize("case", MISSING)
def test_missing_and_surplus_keys_are_named(case: str) -> None:
    checkpoint = published(case)[0].tensors
    theirs, ours = MISSING[case]
    checkpoint.pop(theirs)
    checkpoint["extra.weight"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=rf"missing: {re.escape(ours)}; left over: extra\.weight"):
        loaded(case, checkpoint)


def conv(a: int, b: int, size: int = 3, bias: bool = False) -> int:
    """A convolution and its BatchNorm."""
    return a * b * size**2 + (3 if bias else 2) * b


def basic(a: int, b: int, stride: int) -> int:
    return conv(a, b) + conv(b, b) + (conv(a, b, 1) if stride == 2 or a != b else 0)


def bottleneck(a: int, b: int, stride: int) -> int:
    return (
        conv(a, b, 1)
        + conv(b, b)
        + conv(b, 4 * b, 1)
        + (conv(a, 4 * b, 1) if stride == 2 or a != 4 * b else 0)
    )


def residual(block: Any, depths: tuple[int, ...], *, first: int = 1, stem: int = conv(3, 64, 7)) -> int:
    """The closed form: a stem, stages that double the width from 64 on, 1000 classes."""
    total, width = stem, 64
    for i, depth in enumerate(depths):
        for j in range(depth):
            total += block(width, 64 * 2**i, 1 if j else (first if not i else 2))
            width = 64 * 2**i * (4 if block is bottleneck else 1)
    return total + (width + 1) * 1000


def plain(*widths: int) -> int:
    pairs = zip((3, *widths), widths, strict=False)
    return sum(conv(a, b, bias=True) for a, b in pairs) + (512 * 49 + 1) * 4096 + 4097 * 4096 + 4097 * 1000


CLOSED_FORMS = {
    "sew_resnet18": residual(basic, (2, 2, 2, 2)), "sew_resnet34": residual(basic, (3, 4, 6, 3)),
    "sew_resnet50": residual(bottleneck, (3, 4, 6, 3)), "sew_resnet101": residual(bottleneck, (3, 4, 23, 3)),
    "sew_resnet152": residual(bottleneck, (3, 8, 36, 3)),
    "ms_resnet18": residual(basic, (2, 2, 2, 2), first=2), "ms_resnet34": residual(basic, (3, 4, 6, 3), first=2),
    "ms_resnet104": residual(
        basic, (3, 8, 32, 8), first=2, stem=3 * 64 * 9 + 64 + 64 * 64 * 9 + 64 + conv(64, 64, bias=True)
    ),
    "spiking_vgg11": plain(64, 128, 256, 256, 512, 512, 512, 512),
    "spiking_vgg16": plain(*[64] * 2, *[128] * 2, *[256] * 3, *[512] * 6),
}  # fmt: skip


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_derived_counts_are_closed_forms(name: str) -> None:
    card = sd.models.get_card(name)
    assert (card.params, card.params_derived) == (CLOSED_FORMS[name], True)


@pytest.mark.parametrize("name", ["sew_resnet_nano", "spiking_vgg_nano"])
def test_nano_fits_into_two_megabytes_of_half_precision(name: str) -> None:
    card = sd.models.get_card(name)
    assert 300_000 <= card.params <= 900_000
    assert (card.steps, card.levels, card.input_size) == (1, 4, (1, 28, 28))


@pytest.mark.parametrize("family", ["sew", "sew_integer", "ms", "ms_spiking", "vgg", "asa"])
def test_any_size_is_taken(family: str) -> None:
    model = tiny(family, input="image")
    x = torch.randn(2, model.in_channels, 23, 38)
    y, last = model(x), model.forward_features(x)[-1]
    assert y.shape == (2, 5) and y.isfinite().all() and not torch.equal(last[:, 0], last[:, 1])


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        (
            "sew_resnet18",
            {"widths": (8, 16)},
            "SEWResNet got 2 widths and 4 depths; it takes one of each a stage",
        ),
        (
            "sew_resnet_nano",
            {"connect": "iand"},
            "connect='iand' with ILIF, whose output is no spike of 0 or 1",
        ),
        ("ms_resnet18", {"depths": ()}, "MSResNet got 4 widths and 0 depths; it takes one of each a stage"),
        ("spiking_vgg11", {"widths": ((8,), ())}, "it takes the widths of at least one convolution a stage"),
        ("asa_csnn", {"pools": (1, 2)}, "AsaCSNN got 3 widths and 2 pools; it takes one of each a stage"),
    ],
)
def test_wrong_arguments_are_named(name: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sd.create_model(name, **config)


@pytest.mark.parametrize("name", ["sew_resnet_nano", "spiking_vgg_nano"])
def test_an_unknown_initialisation_is_named(name: str) -> None:
    with pytest.raises(UnknownNameError, match="no initialisation named 'xavier'"):
        sd.create_model(name, init="xavier")


def test_pictures_that_the_stages_would_halve_to_nothing_are_refused() -> None:
    with pytest.raises(ShapeError, match="it takes at least 8 x 8 pixels, which 3 stages halve"):
        sd.create_model("spiking_vgg_nano")(torch.zeros(1, 1, 7, 9))


@pytest.mark.parametrize("connect", ["add", "and", "iand"])
def test_a_block_may_start_as_the_identity(connect: str) -> None:
    model = sd.create_model("sew_resnet18", connect=connect, zero_init_residual=True, **RES).eval()
    s = (torch.rand(2, 1, 16, 4, 4) > 0.5).float()
    assert torch.equal(model.stages[1][1](s), s)


def test_and_and_iand_stay_binary_and_add_counts() -> None:
    high = {
        c: tiny("sew_integer", neuron="IF", connect=c).forward_features(noise())[-1].max()
        for c in ("add", "and", "iand")
    }
    assert high["and"] == high["iand"] == 1 < high["add"]


def noise() -> torch.Tensor:
    return torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(2))


@pytest.mark.slow
def test_gates_are_additive_and_the_engine_equals_them() -> None:
    model = sd.fuse(tiny("sew_integer", neuron="IF", connect="and"))
    program, _ = equal_program(model, noise()[:1], images((1, 16, 16), 4))
    assert any(type(op).__name__ == "Multiply" for op in program.ops)
    inverse = sd.fuse(tiny("sew_integer", neuron="IF", connect="iand"))
    assert sd.audit(inverse, noise()[:1]).verdict == "additive"
    with pytest.raises(LoweringError, match=r"aten\.rsub\.Scalar .* has no rule to lower it"):
        sd.compile(inverse, noise()[:1], mean=[0.5], std=[0.5])


@pytest.mark.parametrize("family", ["sew_integer", pytest.param("vgg_integer", marks=pytest.mark.slow)])
def test_integers_are_their_binary_steps(family: str) -> None:
    model = sd.fuse(tiny(family))
    x = noise()
    report = sd.verify_unrolled(model, x, unrolled=sd.unroll(model, x[:1]))
    assert report.equal
    assert len(report.exact.neurons) == len(model.neurons())


@pytest.mark.slow
def test_without_its_attention_asa_is_additive() -> None:
    model = tiny("asa", attention=False, neuron="LIF")
    x = torch.randn(3, 1, 2, 16, 16)
    assert sd.audit(model, x).verdict == "additive"
    leaking = sd.audit(tiny("asa", attention=False), x)
    assert leaking.verdict == "hybrid"


def test_masks_are_shared_where_the_release_shares_them() -> None:
    x = torch.randn(3, 16, 2, 16, 16, generator=torch.Generator().manual_seed(1))
    own, shared = tiny("asa"), tiny("asa", shared_masks=True)
    assert torch.equal(own.forward_features(x)[1][:, :1], own.forward_features(x[:, :1])[1])
    assert not torch.equal(shared.forward_features(x)[1][:, :1], shared.forward_features(x[:, :1])[1])


def test_asa_refuses_to_stream_and_other_lengths() -> None:
    with pytest.raises(StateError, match="cannot stream: it chooses among its 3 steps"):
        sd.run(tiny("asa"), torch.randn(3, 1, 2, 16, 16))
    with pytest.raises(ShapeError, match="it takes the 3 steps"):
        tiny("asa")(torch.randn(2, 1, 2, 16, 16))


def test_dropout_acts_in_training_only() -> None:
    for family in ("ms", "vgg", "asa"):
        model = tiny(family, dropout=0.9)
        x = inputs(family, model)
        assert torch.equal(model(x), model(x))
        model.train()
        assert not torch.equal(model(x), model(x))
