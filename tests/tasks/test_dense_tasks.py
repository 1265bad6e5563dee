"""mIoU, PCK and distances of cases that are worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from spikedrive.errors import ConfigError, ShapeError
from spikedrive.tasks import pose, segment


def one_hot(given: list[list[int]], classes: int) -> torch.Tensor:
    """Logits (1, 1, K, H, W) whose largest is the given class."""
    return torch.nn.functional.one_hot(torch.tensor(given), classes).permute(2, 0, 1)[None, None].float()


def test_counts_of_pixels_and_their_mean_over_classes() -> None:
    masks = torch.tensor([[0, 0, 1], [1, 2, 2]])[None, None]
    counts = segment.confusion(one_hot([[0, 1, 1], [1, 2, 0]], 4), masks)
    assert counts.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    # 1 of 3, 2 of 3, 1 of 2; the fourth class is neither there nor given
    shares = segment.intersections_over_unions(counts)
    assert shares[:3].tolist() == [1 / 3, 2 / 3, 1 / 2] and math.isnan(shares[3])
    assert segment.mean_iou(counts) == pytest.approx(0.5)
    assert segment.mean_iou(torch.eye(3, dtype=torch.int64)) == 1.0


def test_a_class_that_was_given_and_is_not_there_counts() -> None:
    assert segment.mean_iou(torch.tensor([[3, 1], [0, 0]])) == pytest.approx((3 / 4 + 0) / 2)


def test_frames_are_counted_together() -> None:
    masks = torch.randint(0, 3, (4, 2, 5, 6), generator=torch.Generator().manual_seed(0))
    logits = torch.randn(4, 2, 3, 5, 6, generator=torch.Generator().manual_seed(1))
    whole = segment.confusion(logits, masks)
    assert torch.equal(whole, sum(segment.confusion(logits[t : t + 1], masks[t : t + 1]) for t in range(4)))
    assert int(whole.sum()) == masks.numel()
    expected = -logits.log_softmax(2).gather(2, masks[:, :, None]).mean()
    torch.testing.assert_close(segment.loss(logits, masks), expected)


def test_distances_and_the_share_of_points_that_were_found() -> None:
    targets = torch.tensor([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]], dtype=torch.float64)[None, None]
    off = torch.tensor([[0.0, 0.0], [0.03, 0.04], [-0.3, 0.4]], dtype=torch.float64)
    torch.testing.assert_close(
        pose.distances(targets + off, targets).flatten(), torch.tensor([0.0, 0.05, 0.5], dtype=torch.float64)
    )
    assert pose.found(targets + off, targets).flatten().tolist() == [True, True, False]
    assert pose.found(targets + off, targets, radius=0.04).flatten().tolist() == [True, False, False]
    assert float(pose.loss(targets + off, targets)) == pytest.approx((0.03 + 0.04 + 0.3 + 0.4) / 6)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"it takes \(T, B, K, H, W\) and \(T, B, H, W\)"):
        segment.loss(torch.zeros(2, 1, 3, 4, 4), torch.zeros(2, 1, 2, 2, dtype=torch.int64))
    with pytest.raises(ShapeError, match=r"it takes both as \(T, B, K, 2\)"):
        pose.loss(torch.zeros(2, 1, 3, 2), torch.zeros(2, 3, 2))
    with pytest.raises(ConfigError, match="radius"):
        pose.found(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2), radius=0)


def test_rare_classes_count_more_where_they_are_balanced() -> None:
    masks = torch.tensor([[[[[0, 0, 0, 1]]]]])[0]
    assert segment.class_weights(masks, 3, 0.0).tolist() == [1.0, 1.0, 0.0]
    half = segment.class_weights(masks, 3, 0.5)
    assert half[1] / half[0] == pytest.approx(3**0.5)
    assert float(0.75 * half[0] + 0.25 * half[1]) == pytest.approx(1.0)
    # all background is right on three pixels of four, and on one class of two
    logits = torch.tensor([0.0, -100.0, -200.0]).view(1, 1, 3, 1, 1).expand(1, 1, 3, 1, 4)
    assert segment.loss(logits, masks).item() == pytest.approx(25.0)
    assert segment.loss(logits, masks, segment.class_weights(masks, 3, 1.0)).item() == pytest.approx(50.0)
