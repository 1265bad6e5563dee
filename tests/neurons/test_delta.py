"""The delta activation layer: changes add up to what was there."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spikedrive.errors import ConfigError
from spikedrive.neurons import Accumulate, DeltaActivation, sparsity_loss
from spikedrive.state import Stream


def _video(steps: int = 20) -> torch.Tensor:
    """A still background with a spot that moves; (T, B, pixels)."""
    frames = torch.rand(1, 2, 64).repeat(steps, 1, 1)
    for t in range(steps):
        frames[t, :, t : t + 3] += 2
    return frames


def test_the_changes_through_a_layer_add_up_to_the_layer() -> None:
    weight = torch.randint(-8, 9, (5, 64)).double()
    x = _video().double()
    changes = DeltaActivation(2.0**-4)(x)
    dense = (x * 16).round() / 16
    # integers and powers of two, so the identity holds to the last bit
    assert torch.equal(Accumulate()(changes @ weight.T), dense @ weight.T)


def test_without_a_step_the_dense_layer_comes_back() -> None:
    x, layer = _video().double(), nn.Linear(64, 5, bias=False).double()
    y = Accumulate()(layer(DeltaActivation(0.0, levels=None)(x)))
    torch.testing.assert_close(y, layer(x), rtol=0, atol=1e-12)


def test_a_still_picture_is_sent_once() -> None:
    changes = DeltaActivation(0.1)(_video())
    density = (changes != 0).double().mean((1, 2))
    assert density[0] > 0.9 and density[1:].max() < 0.1


def test_a_larger_step_sends_less_and_errs_more() -> None:
    x = torch.cumsum(torch.randn(30, 2, 50) * 0.1, 0)
    sent, error = [], []
    for step in (0.05, 0.2, 0.8):
        changes = DeltaActivation(step)(x)
        sent.append(int(changes.count_nonzero()))
        error.append(float((Accumulate()(changes) - x).abs().max()))
        assert error[-1] <= step / 2 + 1e-5
    assert sent == sorted(sent, reverse=True) and error == sorted(error)


def test_streams_frame_by_frame_and_a_new_clip_starts_afresh() -> None:
    x = _video()
    model = nn.Sequential(DeltaActivation(0.25), nn.Linear(64, 5, bias=False), Accumulate())
    stream = Stream(model)
    parts = [stream(frame[None]) for frame in x]
    torch.testing.assert_close(torch.cat(parts), model(x), rtol=0, atol=1e-5)
    stream.reset()
    assert torch.equal(stream(x[:1]), parts[0])


def test_a_learned_step_gets_the_gradient_of_its_rounding() -> None:
    neuron = DeltaActivation(0.5, 4, learn_step=True).double()
    x = torch.tensor([0.6, -1.3, 9.0], dtype=torch.float64).view(1, 1, 3).requires_grad_()
    neuron(x).sum().backward()
    # d(q round(x / q)) / dq = round(x / q) - x / q inside the levels, and the level beyond
    assert x.grad.flatten().tolist() == [1, 1, 0]
    torch.testing.assert_close(neuron.step.grad.item(), (1 - 1.2) + (-3 + 2.6) + 4, rtol=0, atol=1e-12)


def test_the_loss_is_the_mean_change() -> None:
    changes = [torch.tensor([[1.0, -3.0]]), torch.zeros(2, 2)]
    assert sparsity_loss(changes).item() == 2.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step": -0.1}, r"DeltaActivation got step=-0.1; it takes a number at least 0. Change step"),
        ({"step": 0.0}, r"got step=0.0; it takes a number above 0"),
        ({"step": 0.0, "levels": None, "learn_step": True}, r"got step=0.0; it takes a number above 0"),
        ({"levels": 0}, r"got levels=0; it takes a number at least 1"),
    ],
)
def test_a_wrong_argument_is_refused(arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        DeltaActivation(**arguments)
