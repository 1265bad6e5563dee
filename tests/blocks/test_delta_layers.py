"""Layers that are sent changes give what the layers themselves give, and their record counts what was sent."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import spikedrive as sd
from spikedrive.blocks import DeltaLayer, EveryStep, record_deltas
from spikedrive.errors import ConfigError, StateError

STEP = 2.0**-4


def video(steps: int = 6) -> torch.Tensor:
    """A still background with a bright square that moves by a pixel a frame; (T, 2, 1, 12, 12)."""
    frames = torch.rand(1, 2, 1, 12, 12, generator=torch.Generator().manual_seed(0)).repeat(steps, 1, 1, 1, 1)
    for t in range(steps):
        frames[t, :, :, 4:7, t : t + 3] += 1
    return frames.double()


def pair(threshold: float) -> tuple[nn.Sequential, nn.Sequential]:
    """Two convolutions with ReLU between them, dense and on changes, with weights that are sums of powers of two."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 3, 3, stride=2)]
    for layer in layers:
        layer.weight.data = torch.randint(-4, 5, layer.weight.shape).float() / 4
        assert layer.bias is not None
        layer.bias.data = torch.randint(-4, 5, layer.bias.shape).float() / 4
    dense = nn.Sequential(EveryStep(layers[0]), nn.ReLU(), EveryStep(layers[1]))
    sent = nn.Sequential(DeltaLayer(layers[0], threshold), nn.ReLU(), DeltaLayer(layers[1], threshold))
    for model in (dense, sent):
        model.double()
    return dense, sent


def test_with_threshold_zero_the_output_is_that_of_the_dense_model() -> None:
    dense, sent = pair(0.0)
    torch.testing.assert_close(sent(video()), dense(video()), rtol=0, atol=1e-12)
    # of multiples of a power of two every sum is exact
    x = (video() * 16).round() / 16
    assert torch.equal(sent(x), dense(x))


def test_with_a_threshold_each_layer_is_that_of_the_rounded_input_to_the_last_bit() -> None:
    dense, sent = pair(STEP)
    x = video()
    y = (x / STEP).round() * STEP
    assert torch.equal(sent[0](x), dense[0](y))
    hidden = dense[0](y).relu()
    assert torch.equal(sent(x), dense[2]((hidden / STEP).round() * STEP))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(5, 3), (4, 2, 7, 5)),
        (nn.Linear(5, 3, bias=False), (4, 2, 5)),
        (nn.Conv1d(3, 2, 3), (4, 2, 3, 8)),
    ],
)
def test_every_kind_of_layer(layer: nn.Module, shape: tuple[int, ...]) -> None:
    layer, x = layer.double(), torch.randn(shape, dtype=torch.float64)
    expected = torch.stack([layer(x_t) for x_t in x])
    torch.testing.assert_close(DeltaLayer(layer)(x), expected, rtol=0, atol=1e-12)


def test_a_clip_starts_afresh_and_a_stream_goes_on() -> None:
    _, sent = pair(STEP)
    x = video()
    whole = sent(x)
    assert torch.equal(sent(x), whole)
    stream = sd.Stream(sent)
    with record_deltas(sent) as seen:
        parts = torch.cat([stream(frame[None]) for frame in x])
    assert torch.equal(parts, whole)
    with record_deltas(sent) as at_once:
        sent(x)
    assert seen.layers == at_once.layers
    stream.reset()
    assert torch.equal(stream(x[:1]), whole[:1])


def test_the_record_counts_what_is_sent() -> None:
    x = torch.tensor([0.0, 1.0, 1.02, 3.0]).view(4, 1, 1).expand(4, 2, 3).contiguous()
    model = DeltaLayer(nn.Linear(3, 2), 0.5)
    with record_deltas(model) as seen:
        model(x)
    (count,) = seen.layers.values()
    # of 4 steps: 3 are not zero, 2 change
    assert (count.values, count.activations, count.rounded, count.changes) == (24, 18, 18, 12)
    assert (seen.density("activations"), seen.density(), seen.sparser()) == (0.75, 0.5, 1.5)
    assert "delta: 50.0% of values sent, 75.0% of activations" in str(seen)
    model(x)
    assert count.values == 24


def test_what_is_sent_can_be_trained_away() -> None:
    torch.manual_seed(0)
    x = video(8).float()
    model = nn.Sequential(DeltaLayer(nn.Conv2d(1, 4, 3), 0.1), nn.ReLU(), DeltaLayer(nn.Conv2d(4, 1, 3), 0.1))
    optimizer, sent = torch.optim.Adam(model.parameters(), 0.02), []
    for _ in range(30):
        with record_deltas(model) as seen:
            model(x)
        loss = seen.loss()
        sent.append((float(loss.detach()), seen.layers["2.delta"].changes))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert sent[-1][0] < 0.9 * sent[0][0] and sent[-1][1] < sent[0][1]


def test_the_loss_is_the_mean_change_of_each_layer() -> None:
    model = nn.Sequential(DeltaLayer(nn.Linear(2, 2), 1.0, learn_step=True))
    x = torch.tensor([[1.0, 3.0], [1.0, 1.0]]).view(2, 1, 2).requires_grad_()
    with record_deltas(model) as seen:
        model(x)
    # 1 and 3, then 0 and -2
    assert float(seen.loss().detach()) == (1 + 3 + 0 + 2) / 4


def test_with_a_threshold_the_audit_finds_no_product() -> None:
    _, sent = pair(STEP)
    found = sd.audit(sent.float(), video().float())
    rows = [row for row in found.layers if row.kind and "weight" in row.kind]
    assert len(rows) == 2 and all(row.multiplications == 0 for row in rows)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"got a BatchNorm2d; it takes nn\.Linear, nn\.Conv1d or nn\.Conv2d"
    ):
        DeltaLayer(nn.BatchNorm2d(3))
    with pytest.raises(ConfigError, match="padding_mode='reflect'; it takes zeros"):
        DeltaLayer(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"))
    with pytest.raises(ConfigError, match="threshold=-1"):
        DeltaLayer(nn.Linear(2, 2), -1)
    with pytest.raises(ConfigError, match="without DeltaActivation"), record_deltas(nn.ReLU()):
        pass
    with record_deltas(DeltaLayer(nn.Linear(2, 2))) as seen:
        pass
    with pytest.raises(StateError, match="recorded nothing"):
        seen.density()
    with pytest.raises(StateError, match="no changes with gradients"):
        seen.loss()
