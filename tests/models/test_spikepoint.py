"""SpikePoint: counts, the code, invariance, streams in time, what the audit names, and that it learns."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from families import inputs, tiny
from torch import Tensor, nn

import spikedrive as sd
from spikedrive.blocks.points import PointCoding, PointGroups
from spikedrive.data.events import Events, batch_events
from spikedrive.encoders import Poisson
from spikedrive.errors import ConfigError, DtypeError, ShapeError, ValueRangeError
from spikedrive.models import get_card
from spikedrive.ops.events import points as cloud_of


def layer(a: int, b: int) -> int:
    """A layer with a bias, its BatchNorm and its neuron's leak."""
    return a * b + 3 * b + 1


def stage(a: int, b: int) -> int:
    return layer(a, b) + layer(b, b // 2) + layer(b // 2, b)


def network(*widths: int, last: int, hidden: int, answers: int) -> int:
    branches = stage(6, widths[0]) + stage(3, widths[0])
    stages = sum(stage(a, b) for a, b in pairwise(widths))
    return branches + stages + layer(widths[-1], last) + (last + 1) * hidden + (hidden + 1) * answers + 2


@pytest.mark.parametrize(
    ("name", "classes", "published", "count"),
    [
        ("spikepoint_small", 10, 0.16e6, network(32, 64, 128, last=256, hidden=256, answers=100)),
        ("spikepoint_large", 11, 0.58e6, network(64, 128, 256, last=512, hidden=512, answers=110)),
        ("spikepoint_large", 51, 0.79e6, network(64, 128, 256, last=512, hidden=512, answers=510)),
        ("spikepoint_large", 101, 1.05e6, network(64, 128, 256, last=512, hidden=512, answers=1010)),
    ],
)
def test_parameters_are_those_of_the_description_and_near_the_published(
    name: str, classes: int, published: float, count: int
) -> None:
    with torch.device("meta"):
        model = sd.create_model(name, classes=classes)
    assert sum(p.numel() for p in model.parameters()) == count
    assert abs(count - published) < 0.008e6
    assert get_card(name).params_derived


def points(batch: int, count: int = 64, width: int = 3, seed: int = 0) -> Tensor:
    """On a grid, as a sensor has, so that some distances are equal."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(9, (batch, count, width), generator=generator) / 8


def test_groups_look_from_their_middle() -> None:
    x = points(2)
    local, centre = PointGroups(5, 4)(x)
    assert (local.shape, centre.shape) == ((2, 6, 5, 4), (2, 3, 5, 1))
    assert local.min() >= 0 and local.max() <= 1
    for sample in range(2):
        for group in range(5):
            middle = centre[sample, :, group, 0]
            gaps = (x[sample] - middle).square().sum(1)
            near = x[sample][gaps.argsort(stable=True)][:4]
            # the nearest is the middle itself, and the lowest corner is one of theirs
            assert torch.equal(local[sample, :3, group, 0], torch.zeros(3))
            assert torch.isclose(gaps.sort().values[:4].sum(), (near - middle).square().sum())
            away = gaps.sort().values[:4]
            spread = (away.sum() / 12).sqrt()
            found = (local[sample, :3, group] * spread).square().sum(0)
            uncut = (local[sample, :3, group] < 1).all(0)
            torch.testing.assert_close(found[uncut], away[uncut], rtol=1e-5, atol=1e-6)
            assert (local[sample, 3:, group] <= middle[:, None]).all()


def test_points_that_coincide_have_a_code() -> None:
    local, centre = PointGroups(2, 3)(torch.full((1, 4, 3), 0.5))
    assert torch.equal(local[:, :3], torch.zeros(1, 3, 2, 3))
    assert torch.equal(centre, torch.full((1, 3, 2, 1), 0.5))


def test_a_further_column_is_kept_as_it_is() -> None:
    x = points(1, width=4)
    local, centre = PointGroups(5, 4)(x)
    assert (local.shape, centre.shape) == ((1, 7, 5, 4), (1, 4, 5, 1))
    assert set(local[0, 6].unique().tolist()) <= set(x[..., 3].unique().tolist())


def test_the_code_is_bernoulli_by_seed_and_alike_for_all_samples() -> None:
    coding = PointCoding(5, 4, steps=4000, seed=3)
    x = points(1)
    values, spikes = coding.groups(x), coding(x)
    for value, spike in zip(values, spikes, strict=True):
        assert set(spike.unique().tolist()) <= {0.0, 1.0}
        torch.testing.assert_close(spike.mean(0), value, rtol=0, atol=0.05)
    assert all(torch.equal(a, b) for a, b in zip(coding(x), spikes, strict=True))
    both = coding(torch.cat([points(1, seed=1), x]))
    assert all(torch.equal(a[:, 1:], b) for a, b in zip(both, spikes, strict=True))
    other = PointCoding(5, 4, steps=4000, seed=4)(x)
    assert not torch.equal(other[0], spikes[0])


def test_one_draw_for_all_samples_is_that_of_the_first() -> None:
    x = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    shared = Poisson(6, seed=1, shared=True)(x)
    assert torch.equal(shared[:, :1], Poisson(6, seed=1)(x[:1]))
    assert torch.equal(Poisson(6, seed=1, shared=True)(x[2:]), shared[:, 2:])
    assert Poisson(6, seed=1, shared=True)(x[:0]).shape == (6, 0, 4)


def test_the_order_of_events_says_nothing() -> None:
    model = tiny("points")
    x = points(3)
    order = torch.stack([torch.randperm(64, generator=torch.Generator().manual_seed(i)) for i in range(3)])
    mixed = x.gather(1, order[:, :, None].expand(-1, -1, 3))
    assert not torch.equal(mixed, x)
    assert torch.equal(model(mixed), model(x))
    assert not torch.equal(model(1 - x), model(x))


def test_points_of_clips_are_taken_those_of_an_empty_one_too() -> None:
    draw = np.random.default_rng(0)
    columns = np.sort(draw.integers(0, 9000, 500)), *draw.integers(0, 34, (2, 500)), draw.integers(0, 2, 500)
    clips = [Events.of(*columns, width=34, height=34), Events.of(*columns, width=34, height=34)[:0]]
    for polarity in (False, True):
        cloud = cloud_of(batch_events(clips), number=64, polarity=polarity).points
        model = sd.create_model("spikepoint_nano", in_channels=3 + polarity).eval()
        features = model.forward_features(cloud, [0])[0]
        assert features.shape == (8, 2, 16, 64, 1)
        assert model(cloud).isfinite().all() and not torch.equal(features[:, 0], features[:, 1])


def test_steps_go_on_in_time() -> None:
    model = tiny("points").double()
    x = inputs("points", model)
    stream = sd.Stream(model)
    for _ in range(4):
        answer = stream(x, steps=1)
    torch.testing.assert_close(answer, model(x), rtol=0, atol=1e-12)


def test_without_a_seed_every_call_draws() -> None:
    torch.manual_seed(0)
    coding = PointCoding(5, 4, steps=8, seed=None)
    assert not torch.equal(coding(points(1))[0], coding(points(1))[0])


def test_what_multiplies_is_the_coding_alone() -> None:
    model = tiny("points")
    found = sd.audit(model, inputs("points", model, batch=1))
    assert (found.verdict, found.analog) == ("hybrid", ())
    assert {left.module for left in found.exceptions} == {"coding.groups"}
    # 8 groups among 32 points over 3 axes, for the middles and again for their neighbours
    (distances,) = [left for left in found.exceptions if left.op == "spikedrive.group_points.default"]
    assert distances.count == 2 * 8 * 32 * 3


def moving_points(count: int) -> tuple[Tensor, Tensor]:
    """Clouds that move to the right or down, and which of both."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(count, 96, 3, generator=generator)
    label = torch.arange(count) % 2
    path = 0.1 + 0.8 * x[:, :, 2] + 0.05 * torch.randn(count, 96, generator=generator)
    x.scatter_(2, label.view(-1, 1, 1).expand(-1, 96, 1), path.clamp(0, 1)[:, :, None])
    return x, label


@pytest.mark.parametrize("twin", [False, True])
def test_a_few_steps_lower_the_loss_of_the_network_and_of_its_twin(twin: bool, relu: str) -> None:
    torch.manual_seed(0)
    small = {"groups": 16, "neighbours": 8, "steps": 4, "classes": 2}
    model = sd.create_model("spikepoint_nano", **small, **({"neuron": relu} if twin else {})).train()
    x, label = moving_points(16)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        loss = nn.functional.cross_entropy(model(x), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(2, 3), ShapeError, r"spikepoint_nano got .* \(2, 3\); it takes \(B, N, D\) with D = 3.*unsqueeze"),
        (torch.zeros(2, 3, 256), ShapeError, r"numbers of a point stand first: x\.movedim\(1, 2\)"),
        (torch.zeros(2, 256, 4), ShapeError, r"with D = 3.*in_channels=4"),
        (torch.zeros(2, 256, 3, dtype=torch.long), DtypeError, r"dtype torch\.int64; it takes floating point"),
        (torch.zeros(2, 32, 3), ShapeError, "got 32 points for 64 groups of 16; it takes at least as many"),
        (torch.full((1, 256, 3), 127.0), ValueRangeError, "coordinates from 127 to 127; it takes 0 to 1"),
        (torch.full((1, 256, 3), torch.nan), ValueRangeError, "coordinates from nan to nan"),
    ],
)  # fmt: skip
def test_a_wrong_input_is_named(x: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sd.create_model("spikepoint_nano")(x)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"input": "frames"},
            r"SpikePoint got input='frames' with in_channels=3; it takes points of x, y and t",
        ),
        ({"in_channels": 2}, r"input='points' with in_channels=2"),
        ({"widths": ()}, r"SpikePoint got widths=\(\); it takes at least one"),
        ({"votes": 0}, r"SpikePoint got votes=0; it takes a number at least 1"),
        ({"groups": 0}, r"PointGroups got groups=0; it takes a number at least 1"),
        ({"seed": -1}, r"Poisson got seed=-1; it takes a number at least 0"),
    ],
)
def test_wrong_arguments_are_named(config: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sd.create_model("spikepoint_nano", **config)
