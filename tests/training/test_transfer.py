"""Learning events with the help of pictures: alike features, the weight of each step, and the sliding replacement."""

from __future__ import annotations

import pytest
import torch

from spikedrive.errors import ConfigError, ShapeError
from spikedrive.training.losses import TransferLoss, as_event_frames, linear_cka, slide, sliding_share

T, B, K = 4, 8, 3


def test_alikeness_and_its_gradients_equal_the_golden_ones(golden) -> None:
    cases = torch.load(golden("cka_transfer") / "cases.pt")
    a, b = cases["a"].requires_grad_(), cases["b"].requires_grad_()
    torch.testing.assert_close(linear_cka(a, b), cases["linear_cka"], rtol=0, atol=1e-12)
    torch.testing.assert_close(1 - linear_cka(a, b).abs(), cases["loss"], rtol=0, atol=1e-12)
    for found, expected in zip(
        torch.autograd.grad(linear_cka(a, b), (a, b)), (cases["grad_a"], cases["grad_b"]), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_turned_and_scaled_features_are_alike() -> None:
    a = torch.randn(B, 5).double()
    turn = torch.linalg.qr(torch.randn(5, 5).double())[0]
    assert linear_cka(a, 3 * a @ turn + 1) == pytest.approx(1, abs=1e-6)
    assert linear_cka(a, torch.randn(B, 5).double()) < 0.9


def batch() -> tuple[torch.Tensor, ...]:
    return torch.randn(T, B, K), torch.randn(T, B, K), torch.randn(T, B, 6), torch.randn(T, B, 2, 3)


def test_the_loss_is_its_three_parts() -> None:
    pictures, events, p, e = batch()
    labels = torch.randint(K, (B,))
    loss = TransferLoss(T, spread=0.0)
    entropy = lambda y: torch.nn.functional.cross_entropy(y.flatten(0, 1), labels.repeat(T))  # noqa: E731
    alike = sum(1 - linear_cka(p[t], e[t]) for t in range(T)) / T
    expected = entropy(pictures) + 0.5 * entropy(events) + 0.5 * 0.5 * alike
    torch.testing.assert_close(loss(pictures, events, p, e, labels), expected)
    # with all weight on one step's features, nothing of its events is learned
    loss.c.data = torch.tensor([100.0, -100.0, -100.0, -100.0])
    rest = torch.nn.functional.cross_entropy(events[1:].flatten(0, 1), labels.repeat(T - 1)) * (T - 1) / T
    expected = entropy(pictures) + rest + 0.5 * (1 - linear_cka(p[0], e[0])) / T
    torch.testing.assert_close(loss(pictures, events, p, e, labels), expected)


def test_answers_are_held_near_the_threshold() -> None:
    pictures, events, p, e = batch()
    labels = torch.randint(K, (B,))
    near, far = TransferLoss(T, threshold=0.0, spread=1.0), TransferLoss(T, threshold=9.0, spread=1.0)
    assert near(pictures, events, p, e, labels) < far(pictures, events, p, e, labels)


def test_pictures_become_frames_and_events_take_their_place() -> None:
    rgb = torch.rand(B, 3, 5, 5)
    frames = as_event_frames(rgb, T)
    assert frames.shape == (T, B, 2, 5, 5)
    assert torch.equal(frames[2, :, 1], rgb.max(1).values)
    events = -torch.ones_like(frames)
    assert torch.equal(slide(frames, events, 0.0), frames)
    assert torch.equal(slide(frames, events, 1.0), events)
    half = slide(frames, events, 0.5, torch.Generator().manual_seed(0))
    replaced = (half == events).flatten(2).all(2)
    assert torch.equal(replaced.any(0), replaced.all(0)) and 0 < int(replaced[0].sum()) < B


def test_the_share_grows_with_the_cube_of_the_time() -> None:
    shares = [sliding_share(b, e, batches=2, epochs=2) for e in range(2) for b in range(2)]
    assert shares == [0.0, 1 / 64, 1 / 8, 27 / 64]


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ShapeError, match="features of 8 and 7 samples"):
        linear_cka(torch.rand(8, 2), torch.rand(7, 2))
    with pytest.raises(ShapeError, match=r"of \[3, 4\] steps; it takes the 4 that"):
        TransferLoss(T)(*batch()[:3], torch.rand(3, B, 1), torch.zeros(B, dtype=torch.long))
    with pytest.raises(ShapeError, match=r"Make them with as_event_frames"):
        slide(torch.rand(2, 3), torch.rand(2, 4), 0.5)
    with pytest.raises(ConfigError, match="batch 0 of epoch 3; training has 2 epochs of 2 batches"):
        sliding_share(0, 3, batches=2, epochs=2)
