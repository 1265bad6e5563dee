"""Conversion: what is exact is exact, what was left is named, and the prediction holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spikedrive as sd
from spikedrive.errors import ConfigError, DtypeError, ShapeError, UnknownNameError, ValueRangeError
from spikedrive.neurons import QCFS, SignedIF
from spikedrive.training.conversion import ConvertedNetwork, choose_ceiling, convert, measure
from spikedrive.training.conversion.network import rounding


class Bottlenecks(nn.Module):
    """Convolutions, BatchNorm, ReLU6, a linear bottleneck with a shortcut, and average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.narrow = nn.Sequential(nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.wide = nn.Sequential(
            nn.Conv2d(8, 16, 1), nn.ReLU6(), nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.ReLU()
        )
        self.back = nn.Conv2d(16, 8, 1)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.narrow(self.stem(x))
        x = x + self.back(self.wide(x))
        return self.head(torch.relu(x).mean((2, 3), keepdim=True).flatten(1))


@pytest.fixture(scope="module")
def ann() -> nn.Module:
    torch.manual_seed(0)
    model = Bottlenecks()
    # running statistics that the fold cannot pass over
    model.train()(torch.randn(64, 3, 12, 12) * 2 + 0.5)
    return model.eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(64, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def integers(ann, images) -> Any:
    return convert(ann, images[:32], steps=8, predict=(2, 32))


def test_the_neuron_of_integers_is_the_golden_activation(golden) -> None:
    case = torch.load(golden("qcfs") / "cases.pt")
    neuron = rounding(case["L"], float(case["lam"]))
    torch.testing.assert_close(neuron(case["a"].view(1, 1, -1)).flatten(), case["qcfs"], rtol=0, atol=1e-9)


def test_on_constant_currents_all_three_neurons_have_the_golden_rate(golden) -> None:
    case = torch.load(golden("qcfs") / "cases.pt")
    levels, ceiling = case["L"], float(case["lam"])
    x = case["a"].view(1, 1, -1).expand(levels, 1, -1)
    signed, binary = SignedIF(ceiling).double(), QCFS(levels, ceiling, spiking=True).double()
    for neuron in (signed, binary):
        torch.testing.assert_close(neuron(x).mean(0).flatten(), case["qcfs"], rtol=0, atol=1e-9)


def test_signed_spikes_take_back_what_came_too_early() -> None:
    x = torch.tensor([0.9, 0.9, 0.9, -1.0, -1.0, 0.0]).view(6, 1, 1)
    assert SignedIF()(x).sum() == 1
    assert QCFS(6, 1.0, spiking=True)(x).sum() == 3
    # the order of the currents does not matter
    assert SignedIF()(x.flip(0)).sum() == 1
    assert SignedIF(rectify=False)(-x).sum() == -1 and SignedIF()(-x).min() >= 0


def test_without_rounding_the_network_is_the_artificial_one(ann, images) -> None:
    found = convert(ann.double(), images[:32].double(), steps=1 << 20, method="max", correct=False)
    ann.float()
    assert found.predicted[0].error < 1e-4 and found.predicted[0].agreement == 1
    assert found.left == ()


def test_the_prediction_is_what_the_integers_give(ann, images, integers) -> None:
    (cost,) = measure(ann, integers.model, images[:32])
    predicted = next(cost for cost in integers.predicted if cost.steps == 8)
    assert cost.error == pytest.approx(predicted.error, rel=1e-3) and cost.agreement == predicted.agreement
    assert [cost.steps for cost in integers.predicted] == [2, 8, 32]


def test_more_steps_leave_less_error_in_every_layer(integers) -> None:
    by_layer: dict[str, list[float]] = {}
    for layer in integers.layers:
        by_layer.setdefault(layer.name, []).append(layer.error)
    assert len(by_layer) == 5 and sorted(by_layer) == sorted(integers.ceilings)
    assert all(few > some > many for few, some, many in by_layer.values())
    text = str(integers)
    assert "T=32" in text and "(wide.1)" in text and "not converted: nothing" in text


def test_it_needs_additions_only_and_equals_its_binary_steps(images, integers) -> None:
    model: ConvertedNetwork = integers.model
    assert sd.audit(model, images[:1]).verdict == "additive"
    unrolled = sd.unroll(model, images[:2])
    assert set(unrolled.levels.values()) == {8}
    assert sd.verify_unrolled(model, images[:2], unrolled=unrolled).equal


@pytest.mark.parametrize("spikes", ["signed", "binary"])
def test_spikes_of_all_layers_at_once_tend_to_the_answer(ann, images, spikes) -> None:
    found = convert(ann, images[:32], steps=16, spikes=spikes)
    assert found.model.encoder.steps == 16
    costs = measure(ann, found.model, images[32:40], steps=(2, 16))
    assert costs[0].error > costs[1].error and costs[1].error < 0.2
    with torch.no_grad():
        whole, exact = found.model(images[32:40]), ann(images[32:40])
    assert costs[1].error == pytest.approx(float((whole - exact).norm() / exact.norm()), rel=1e-3)
    assert sd.audit(found.model, images[:1]).verdict == "additive"


def test_corrections_lower_the_error(ann, images, integers) -> None:
    plain = convert(ann, images[:32], steps=8, correct=False)
    corrected = next(cost for cost in integers.predicted if cost.steps == 8)
    assert corrected.error < plain.predicted[0].error


def test_the_artificial_network_stays_as_it_was(images) -> None:
    torch.manual_seed(3)
    model = Bottlenecks().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    convert(model, images[:8], steps=4)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_converted_network_can_be_kept(integers, images, tmp_path: Path) -> None:
    torch.save(integers.model, tmp_path / "converted.pt")
    loaded = torch.load(tmp_path / "converted.pt", weights_only=False)
    assert torch.equal(loaded(images), integers.model(images))
    assert str(loaded) == str(integers.model)


def test_measuring_leaves_the_artificial_network_in_its_mode(integers, images) -> None:
    ann = Bottlenecks().train()
    ann.narrow.eval()
    before = ann.stem[1].running_mean.clone()
    measure(ann, integers.model, images[:2])
    assert [ann.training, ann.stem[1].training, ann.narrow[1].training] == [True, True, False]
    assert torch.equal(ann.stem[1].running_mean, before)
    with pytest.raises(ShapeError, match=r"measure got images of shape \(0, 3, 12, 12\)"):
        measure(ann, integers.model, images[:0])


@pytest.mark.parametrize("spikes", ["integer", "signed"])
def test_what_was_not_converted_is_named_and_still_right(spikes) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.Hardswish(), nn.Flatten(),
        nn.Linear(72, 5), nn.Softmax(-1),
    )  # fmt: skip
    x = torch.randn(16, 3, 12, 12)
    found = convert(model, x, steps=64, spikes=spikes)
    left = [(one.operation, one.path) for one in found.left]
    assert left == [("max_pool2d", "2"), ("hardswish", "4"), ("softmax", "7")]
    assert (
        "largest of several rates" in found.left[0].reason
        and "no neuron has this form" in found.left[1].reason
    )
    assert measure(model, found.model, x)[0].error < 0.05


def test_masks_drop_their_share_of_spikes(ann, images) -> None:
    found = convert(ann, images[:32], steps=8, mask=0.25)
    x = images[32:]
    neurons = found.model.layers["hardtanh"]
    shares = [hook_share(neurons, x, found.model) for _ in range(2)]
    assert all(0.7 < share < 0.8 for share in shares) and shares[0] != shares[1]


def hook_share(pair: nn.Module, x: Tensor, model: nn.Module) -> float:
    """Which share of a neuron's spikes its mask lets through."""
    assert isinstance(pair, nn.Sequential)
    seen: list[Tensor] = []
    handles = [module.register_forward_hook(lambda *call: seen.append(call[-1])) for module in pair]
    model(x)
    for handle in handles:
        handle.remove()
    return float(seen[1].count_nonzero() / seen[0].count_nonzero())


def test_each_way_to_choose_a_ceiling() -> None:
    x = torch.cat([torch.rand(10_000), torch.tensor([50.0])])
    by = {
        m: choose_ceiling(x, method=m, levels=4, percentile=99, top=float("inf"))
        for m in ("qcfs", "percentile", "max")
    }
    assert by["max"] == 50 and by["percentile"] == pytest.approx(0.99, abs=0.02) and 0.5 < by["qcfs"] < 50
    assert choose_ceiling(x, method="max", levels=4, percentile=99, top=6.0) == 6
    assert choose_ceiling(-x, method="qcfs", levels=4, percentile=99, top=6.0) == 1


def test_wrong_arguments_are_named(ann, images) -> None:
    with pytest.raises(UnknownNameError, match="way to choose ceilings named 'qcf'"):
        convert(ann, images, method="qcf")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnknownNameError, match="kind of spikes named 'rate'"):
        convert(ann, images, spikes="rate")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="convert got steps=0"):
        convert(ann, images, steps=0)
    with pytest.raises(ConfigError, match="convert got predict=0"):
        convert(ann, images, predict=(4, 0))
    with pytest.raises(ConfigError, match="convert got mask=2;"):
        convert(ann, images, mask=2)
    with pytest.raises(ShapeError, match=r"shape \(1, 3, 12, 12\).*at least 2"):
        convert(ann, images[:1])
    with pytest.raises(DtypeError, match=r"of dtype torch\.float64"):
        convert(ann, images.double())
    with pytest.raises(ValueRangeError, match="NaN or infinite"):
        convert(ann, images.log())


def test_networks_that_cannot_be_converted_are_named() -> None:
    x = torch.randn(4, 6)
    with pytest.raises(ConfigError, match="no activation could become a neuron"):
        convert(nn.Sequential(nn.Linear(6, 6), nn.Tanh()), x)
    with pytest.raises(ConfigError, match="whose 1 has a state over time"):
        convert(nn.Sequential(nn.Linear(6, 6), QCFS()), x)

    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.relu() if x.sum() > 0 else x

    with pytest.raises(ConfigError, match="Branches, which torch"):
        convert(Branches(), x)
