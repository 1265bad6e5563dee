"""Repairs that are exact, and what is said of those that are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spikedrive as sd
from spikedrive.blocks import DepthwisePointwise, RepConv, SpikeAttention, TdBN
from spikedrive.errors import ConfigError
from spikedrive.neurons import ILIF, LIF, PLIF
from spikedrive.ops.fold import over_time
from spikedrive.transforms import repairs
from spikedrive.transforms.repairs import Change


def settled(net: nn.Module) -> nn.Module:
    """The net with statistics and biases that are not those of the start."""
    torch.manual_seed(0)
    for key, value in net.state_dict().items():
        if "running_var" in key:
            value.uniform_(0.5, 2)
        elif value.is_floating_point() and value.dim() == 1:
            value.uniform_(-1, 1)
    return net.eval()


class Scaled(nn.Module):
    """A layer, and one learned constant a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.constant = nn.Conv2d(4, 6, 3), nn.Parameter(torch.rand(6, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * self.constant


class Steps(nn.Module):
    """Layers over time, a neuron in front of each."""

    def __init__(self, neuron: Callable[[], nn.Module], *layers: nn.Module) -> None:
        super().__init__()
        self.neurons, self.layers = nn.ModuleList(neuron() for _ in layers), nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for neuron, layer in zip(self.neurons, self.layers, strict=True):
            x = over_time(layer, neuron(x))
        return x


def chain(*layers: nn.Module) -> nn.Module:
    return Steps(LIF, nn.Sequential(*layers))


class Timed(nn.Module):
    """A convolution, and a normalisation that looks at all steps."""

    def __init__(self) -> None:
        super().__init__()
        self.neuron, self.conv, self.norm = LIF(), nn.Conv2d(4, 4, 1), TdBN(4, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(over_time(self.conv, self.neuron(x)))


MAPS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "norm": (lambda: chain(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)), "norm.layers.0.1: BatchNorm folded into"),
    "fixed": (
        lambda: chain(nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6, affine=False)),
        "fixed.layers.0.1: BatchNorm folded into",
    ),
    "timed": (Timed, "timed.norm: BatchNorm folded into"),
    "depthwise": (
        lambda: chain(nn.Conv2d(4, 4, 3, padding=1, stride=2, groups=4), nn.Conv2d(4, 6, 1)),
        "merged into parts.depthwise.layers.0.0, 70 weights became 222",
    ),
    "grouped": (
        lambda: chain(nn.Conv2d(4, 6, 1, bias=False), nn.Conv2d(6, 8, 3, padding=1, groups=2)),
        "merged into parts.grouped",
    ),
    "pointwise": (lambda: chain(nn.Conv2d(4, 6, 1), nn.Conv2d(6, 8, 3)), "merged into parts.pointwise"),
    "constant": (lambda: chain(Scaled()), "the constant a channel folded into parts.constant.layers.0.0.layer"),
    "repconv": (lambda: chain(RepConv(4, 6)), "RepConv became one layer with a bias"),
    "pair": (lambda: chain(DepthwisePointwise(4, 6, 3)), "DepthwisePointwise became one layer with a bias"),
    "scale": (
        lambda: Steps(lambda: ILIF(scale=1 / 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)),
        "the output scale 0.333333 went into the weight of parts.scale.layers.1",
    ),
}  # fmt: skip
VECTORS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "norm": (lambda: chain(nn.Linear(4, 6), nn.BatchNorm1d(6)), "norm.layers.0.1: BatchNorm folded into"),
    "row": (
        lambda: chain(nn.Linear(4, 5), nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)),
        "row.layers.0.3: merged into parts.row.layers.0.0",
    ),
    "two": (lambda: chain(nn.Linear(4, 3), nn.Linear(3, 5)), "merged into parts.two"),
}


class Together(nn.Module):
    """The same input to each part."""

    def __init__(self, parts: dict[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(part(x) for part in self.parts.values())


@pytest.mark.parametrize(("cases", "shape"), [(MAPS, (4, 8, 8)), (VECTORS, (4,))], ids=["maps", "vectors"])
def test_exact_repairs_keep_the_answer_and_are_applied_once(cases: Any, shape: tuple[int, ...]) -> None:
    net = settled(Together({name: build() for name, (build, _) in cases.items()})).double()
    x = 2 * torch.randn(2, 3, *shape, dtype=torch.float64)
    kept = {key: value.clone() for key, value in net.state_dict().items()}
    done = sd.make_additive(net, example=x, batch_axis=1)
    taken = "\n".join(f"{step.module}: {step.what}" for step in done.applied)
    assert [words for _, words in cases.values() if words not in taken] == []
    assert (done.before, done.after) == ("hybrid", "additive") and done.multiplication_free
    assert not done.left_out and not done.remaining and all(step.exact for step in done.applied)
    for name, mine, its in zip(cases, done.model(x), net(x), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-12, atol=1e-12, msg=name)
        assert float(its.detach().std()) > 0.05
    assert all(torch.equal(kept[key], value) for key, value in net.state_dict().items())
    if cases is VECTORS:
        again = sd.make_additive(done.model, example=x, batch_axis=1)
        assert again.applied == () and all(map(torch.equal, again.model(x), done.model(x)))


@pytest.mark.parametrize("neuron", ["LIF", "ILIF", "IF", "PLIF"])
def test_the_scale_of_attention_goes_into_the_threshold(neuron: str) -> None:
    torch.manual_seed(0)
    block = SpikeAttention(
        4, 2, variant="sdsa3", projection=lambda a, b: nn.Conv2d(a, b, 1), scale=1 / 8, neuron=neuron
    )
    x = 4 * torch.randn(3, 2, 4, 4, 4)
    before = block(x)
    (change,) = repairs.scales_into_thresholds(nn.Sequential(block), pytest.fail)
    assert change.what == "the scale 0.125 went into the threshold, now 4" and block.scale == 1
    assert torch.equal(block(x), before) and float(before.detach().std()) > 0


class Shared(nn.Module):
    """Layers that somebody else reads, too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.out = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y + self.norm(y) + self.conv(self.out(x))


def test_what_others_read_too_stays() -> None:
    x = torch.randn(2, 3, 4, 4)
    done = sd.make_additive(settled(Shared()), example=x)
    assert done.applied == () and done.after == "hybrid"


def test_a_repair_that_moves_the_answer_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(model: nn.Module, _look: Any) -> list[Change]:
        model.get_submodule("0").bias.data.add_(1)  # type: ignore[operator, union-attr]
        return [Change("0", "a bias grew")]

    monkeypatch.setattr("spikedrive.transforms.additive.REPAIRS", (wrong, repairs.fuse_chains))
    net, x = nn.Sequential(nn.Linear(4, 2)), torch.randn(3, 4)
    done = sd.make_additive(net, example=x)
    assert done.applied == () and [step.what for step in done.left_out] == ["a bias grew"]
    assert torch.equal(done.model(x), net(x)) and "left out, they moved the answer" in done.text()


def leaky() -> nn.Module:
    return Steps(lambda: LIF(0.7, 0.5), nn.Linear(4, 8), nn.Linear(8, 3))


def test_leaks_are_rounded_when_asked_and_priced_when_not() -> None:
    torch.manual_seed(0)
    net, x = leaky(), 2 * torch.randn(16, 64, 4)
    done = sd.make_additive(net, example=x, batch_axis=1)
    assert done.after == "hybrid" and done.applied == () and done.change == 0
    assert [(left.module, left.delta) for left in done.remaining] == [
        ("neurons.0", pytest.approx(0.05)), ("neurons.1", pytest.approx(0.05)),
    ]  # fmt: skip
    assert all(left.change is not None and left.change > 0 for left in done.remaining)
    assert "round the leak 0.7 to 0.75 (round_leaks=True)" in done.text()
    rounded = sd.make_additive(net, example=x, batch_axis=1, round_leaks=True)
    assert rounded.after == "additive" and rounded.remaining == () and rounded.change > 0
    assert [step.exact for step in rounded.applied] == [False, False]
    assert "the leak 0.7 became 0.75, |change| 0.05" in rounded.text()
    assert all(neuron.decay == 0.7 for neuron in net.neurons)  # type: ignore[union-attr]


def test_a_learned_leak_becomes_a_fixed_one() -> None:
    # a leak of 2/3, between 5/8 and 3/4 of which only the second is a shift
    net = Steps(lambda: PLIF(3.0, 0.7, reset="soft", decay_input=False), nn.Linear(4, 3))
    done = sd.make_additive(net, example=torch.randn(4, 2, 4), batch_axis=1, round_leaks=True)
    neuron: Any = done.model.neurons[0]  # type: ignore[index]
    assert type(neuron) is LIF and (neuron.decay, neuron.threshold, neuron.reset) == (0.75, 0.7, "soft")
    assert done.after == "additive"


def test_what_remains_is_tried_on_a_copy() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, 3), nn.Softmax(-1))
    x = torch.randn(16, 4)
    done = sd.make_additive(net, example=x)
    by_op = {left.op: left for left in done.remaining}
    silu, linear = by_op["aten.silu.default"], by_op["aten.linear.default"]
    for left in (silu, linear):
        assert left.change is not None and left.relative is not None and 0 < left.relative < 1
    assert "ILIF of 15 levels in place of SiLU" in silu.step and "ILIF of 15 levels in front" in linear.step
    assert by_op["aten.softmax.int"].change is None and "(not tried)" in done.text()
    assert done.to_dict()["remaining"][0]["op"] == "aten.silu.default"
    # nothing of it was kept
    torch.testing.assert_close(done.model(x), net(x))


def small(**neuron: Any) -> Any:
    return sd.create_model(
        "meta_spikeformer_nano", widths=(8,), depths=(1,), strides=(4,), transformer_stages=0,
        neuron={"name": "ILIF", **neuron},
    )  # fmt: skip


def test_a_repaired_model_is_saved_where_its_arguments_build_it_again(tmp_path: Any) -> None:
    torch.manual_seed(0)
    model, x = small(), torch.randn(2, 1, 28, 28)
    done = sd.make_additive(model)
    assert done.after == "additive" and model.training
    sd.save_model(done.model, tmp_path / "net.safetensors")  # type: ignore[arg-type]
    assert torch.equal(sd.load_model(tmp_path / "net.safetensors")(x), done.model(x))
    scaled = sd.make_additive(small(scale=0.25))
    assert any("output scale 0.25" in step.what for step in scaled.applied)
    with pytest.raises(ConfigError, match="without a card"):
        sd.save_model(scaled.model, tmp_path / "net.safetensors")  # type: ignore[arg-type]


def test_a_model_without_a_card_needs_an_example_to_repair() -> None:
    with pytest.raises(
        ConfigError, match=r"make_additive got a Linear without a card and no example; it takes one"
    ):
        sd.make_additive(nn.Linear(2, 2))
