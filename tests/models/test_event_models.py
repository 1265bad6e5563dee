"""Models for event cameras: dropped frames, counts, streams, twins, and that they learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from families import liven
from torch import Tensor, nn

import spikedrive as sd
from engine.equality import equal_program
from spikedrive.errors import ConfigError, ShapeError, StateError
from spikedrive.models import get_card
from spikedrive.neurons import TemporalAttention

NANOS = [
    "asa_csnn_nano", "csnn_nano", "spike_driven_transformer_dvs_nano", "spike_video_former_dvs_nano", "ta_snn_nano",
]  # fmt: skip
nanos = pytest.mark.parametrize("name", NANOS)


def conv(a: int, b: int, *, bias: bool) -> int:
    """A 3 x 3 convolution and its BatchNorm."""
    return 9 * a * b + (3 if bias else 2) * b


def attention(steps: int, reduction: int) -> int:
    hidden = max(1, steps // reduction)
    return (steps + 1) * hidden + (hidden + 1) * steps


def test_counts_are_closed_forms() -> None:
    def net(*widths: int, places: int, hidden: int, classes: int, bias: bool) -> int:
        convs = sum(conv(a, b, bias=bias) for a, b in zip((2, *widths), widths, strict=False))
        return convs + (places * widths[-1] + 1) * hidden + (hidden + 1) * classes

    gesture = net(64, 128, 128, places=64, hidden=256, classes=11, bias=True)
    # the count of the original's net without attention
    assert gesture == 2_323_531
    assert get_card("ta_snn_gesture").params == gesture + 5 * attention(60, 16)
    nano = net(16, 32, 64, places=16, hidden=128, classes=10, bias=True)
    assert get_card("ta_snn_nano").params == nano + 5 * attention(8, 2)
    assert get_card("csnn_nano").params == net(16, 32, 64, places=16, hidden=128, classes=10, bias=False)
    asl = net(32, 64, 128, 128, places=12, hidden=256, classes=24, bias=False)
    assert get_card("csnn_asl").params == asl


@nanos
def test_nanos_take_event_frames_of_both_sizes(name: str) -> None:
    model = sd.create_model(name).eval()
    assert model.card.params <= 500_000
    assert (model.card.input_size, model.input, model.steps, model.classes) == ((2, 34, 34), "frames", 8, 10)
    for size in (34, 64):
        assert model(frames(8, 2, size)).shape == (2, 10)


def frames(steps: int, batch: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(steps, batch, 2, size, size, generator=generator) < 0.1).float()


def moving_bars(count: int, *, steps: int) -> tuple[Tensor, Tensor]:
    """Bars of events that move down or to the right over 34 x 34, and which of both."""
    generator = torch.Generator().manual_seed(3)
    label = torch.arange(count) % 2
    x = (torch.rand(steps, count, 2, 34, 34, generator=generator) < 0.01).float()
    for i in range(count):
        start = int(torch.randint(0, 8, (), generator=generator))
        for t in range(steps):
            at = slice(start + 3 * t, start + 3 * t + 2)
            (x[t, i, :, at] if label[i] else x[t, i, :, :, at]).fill_(1.0)
    return x, label


def losses(model: nn.Module, x: Tensor, label: Tensor, steps: int) -> tuple[float, float]:
    """The loss in training mode before and after so many steps of Adam."""
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    seen = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model.train()(x), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(float(loss.detach()))
    return sum(seen[:2]) / 2, sum(seen[-2:]) / 2


@nanos
def test_a_few_steps_lower_the_loss(name: str) -> None:
    torch.manual_seed(0)
    x, label = moving_bars(8, steps=8)
    before, after = losses(sd.create_model(name, classes=2), x, label, 12)
    assert after < 0.9 * before


@nanos
def test_the_relu_twin_is_one_argument_away(name: str, relu: str) -> None:
    torch.manual_seed(0)
    twin = sd.create_model(name, neuron=relu, classes=2)
    assert {type(neuron).__name__ for neuron in twin.neurons().values()} == {relu}
    assert sum(p.numel() for p in twin.parameters()) == sum(
        p.numel() for p in sd.create_model(name, classes=2).parameters()
    )
    x, label = moving_bars(8, steps=8)
    before, after = losses(twin, x, label, 12)
    assert after < before


def ta(**config: Any) -> tuple[Any, Tensor]:
    torch.manual_seed(0)
    small = {"widths": (8, 16), "pools": (1, 2), "hidden": (16,), "reduction": 1, "classes": 5, "steps": 6}
    model = sd.create_model("ta_snn_gesture", **{**small, **config}).double()
    x = torch.randn(6, 3, 2, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return liven(model, x).eval(), x


def test_a_threshold_of_zero_drops_nothing_and_changes_nothing() -> None:
    model, x = ta()
    result = model.drop_frames(x, 0)
    assert result.dropped.tolist() == [0, 0, 0]
    torch.testing.assert_close(result.logits, model(x), rtol=0, atol=1e-12)


def middle(scores: Tensor) -> float:
    """A threshold between two scores of some sample, far from any."""
    ordered = scores.detach().flatten().sort().values
    gaps = ordered.diff()
    gaps[: len(gaps) // 4] = gaps[-len(gaps) // 4 :] = 0
    at = int(gaps.argmax())
    return float(ordered[at : at + 2].mean())


def test_dropped_frames_are_those_of_low_score_and_are_not_computed() -> None:
    model, x = ta()
    scores = model.scores(x)
    threshold = middle(scores)
    steps: list[int] = []
    model.stages[1].project.register_forward_hook(lambda _m, given, _y: steps.append(given[0].shape[0]))
    model.head.layers[0].project.register_forward_hook(lambda _m, given, _y: steps.append(given[0].shape[0]))
    result = model.drop_frames(x, threshold)
    assert torch.equal(result.kept, scores >= threshold)
    assert torch.equal(result.dropped, (scores < threshold).sum(0))
    assert 0 < result.dropped.sum() < scores.numel()
    left = [int(n) for n in result.kept.sum(0) if n]
    assert steps == [n for n in left for _ in range(2)]


def test_dropping_is_a_network_that_never_had_the_frames() -> None:
    # the same, plainly: neurons see the kept steps alone, attention sees zeros elsewhere
    model, x = ta()
    threshold = middle(model.scores(x))
    result = model.drop_frames(x, threshold)

    def weigh(layer: TemporalAttention, y: Tensor, kept: Tensor) -> Tensor:
        full = y.new_zeros(6, *y.shape[1:])
        full[kept] = y
        return layer(full)[kept]

    for sample in range(3):
        kept = result.kept[:, sample]
        y = model.stages[0].attention(model.stages[0].project(x[:, sample : sample + 1]))[kept]
        y = model.stages[0].neuron(y)
        y = model.stages[1].neuron(weigh(model.stages[1].attention, model.stages[1].project(y), kept))
        y = nn.functional.adaptive_avg_pool2d(y[:, 0], 8)[:, None].flatten(2)
        for layer in model.head.layers:
            y = layer.neuron(weigh(layer.attention, layer.project(y), kept))
        torch.testing.assert_close(result.logits[sample], y.mean(0)[0], rtol=0, atol=1e-12)


def test_a_clip_without_a_frame_above_the_threshold_answers_zero() -> None:
    model, x = ta()
    result = model.drop_frames(x, 1.0)
    assert result.dropped.tolist() == [6, 6, 6]
    assert torch.equal(result.logits, torch.zeros(3, 5, dtype=torch.float64))
    assert model.drop_frames(x[:, :0], 0.5).logits.shape == (0, 5)


def test_dropping_does_not_look_at_the_rest_of_the_batch() -> None:
    model, x = ta()
    threshold = middle(model.scores(x))
    alone = [model.drop_frames(x[:, i : i + 1], threshold).logits for i in range(3)]
    torch.testing.assert_close(model.drop_frames(x, threshold).logits, torch.cat(alone), rtol=0, atol=1e-12)


def test_what_cannot_be_dropped_is_named() -> None:
    model, x = ta()
    with pytest.raises(ConfigError, match=r"drop_frames got threshold=1\.5; it takes a number at least 0"):
        model.drop_frames(x, 1.5)
    with pytest.raises(ShapeError, match="it takes the 6 steps that its layers over time were made for"):
        model.drop_frames(x[:4])
    plain = sd.create_model("ta_snn_nano", attention=False)
    with pytest.raises(ConfigError, match="ta_snn_nano was built with attention=False, and scores no frames"):
        plain.drop_frames(frames(8, 1, 34))
    with pytest.raises(ConfigError, match="TaSNN got 3 widths and 2 pools; it takes one of each a stage"):
        sd.create_model("ta_snn_gesture", pools=(1, 2))
    with pytest.raises(ConfigError, match="CSNN got 4 widths and 1 pools; it takes one of each a stage"):
        sd.create_model("csnn_asl", pools=(2,))
    with pytest.raises(ConfigError, match="FlatHead got size=0; it takes a number at least 1"):
        sd.create_model("csnn_asl", size=(0, 4))


def test_frames_that_attention_learned_to_ignore_are_dropped_without_harm() -> None:
    torch.manual_seed(0)
    x, label = moving_bars(16, steps=8)
    # of the 8 frames 3 hold dense noise, at places that differ from clip to clip
    noisy = torch.zeros(8, 16, dtype=torch.bool)
    for i in range(16):
        noisy[torch.randperm(8)[:3], i] = True
    x[noisy] = (torch.rand(int(noisy.sum()), 2, 34, 34) < 0.5).float()
    model = sd.create_model("ta_snn_nano", classes=2, dropout=0.0)
    losses(model, x, label, 40)
    model.eval()
    scores = model.scores(x).detach()
    assert scores[noisy].mean() < scores[~noisy].mean()
    right = (model(x).argmax(1) == label).float().mean()
    threshold = float(scores[noisy].quantile(0.8))
    result = model.drop_frames(x, threshold)
    assert result.dropped.sum() >= 0.75 * noisy.sum()
    assert (result.logits.argmax(1) == label).float().mean() >= right - 0.1


@pytest.mark.parametrize("name", ["csnn_nano", "spike_driven_transformer_dvs_nano"])
def test_what_looks_at_the_past_alone_streams(name: str) -> None:
    torch.manual_seed(0)
    x = frames(8, 2, 34).double()
    model = liven(sd.create_model(name).double(), x).eval()
    stream = sd.Stream(model)
    answers = [stream(frame[None]) for frame in x]
    torch.testing.assert_close(answers[-1], model(x), rtol=0, atol=1e-12)
    assert not torch.equal(answers[0], answers[-1])


@pytest.mark.parametrize("name", ["asa_csnn_nano", "spike_video_former_dvs_nano", "ta_snn_nano"])
def test_what_looks_at_the_whole_clip_says_that_it_does_not(name: str) -> None:
    with pytest.raises(StateError, match="cannot stream"):
        sd.run(sd.create_model(name), frames(8, 1, 34))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NANOS if get_card(name).verdict_repaired == "additive"])
def test_what_is_additive_compiles_to_equal_integers(name: str) -> None:
    torch.manual_seed(0)
    x = frames(8, 4, 34)
    model = sd.fuse(liven(sd.create_model(name), x).eval(), dense_separable=True)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 3, 2, 34, 34), dtype=np.uint8)
    program, found = equal_program(model, x[:, :1], pixels)
    assert program.steps == 8 and found.neurons == len(model.neurons())


def test_a_stride_of_csnn_is_that_of_its_first_convolution() -> None:
    x = torch.zeros(2, 1, 2, 32, 32)
    wide, half = (sd.create_model("csnn_nano", stride=stride).eval().forward_features(x) for stride in (1, 2))
    assert [tuple(y.shape[3:]) for y in wide] == [(16, 16), (8, 8), (4, 4)]
    assert [tuple(y.shape[3:]) for y in half] == [(8, 8), (4, 4), (2, 2)]
