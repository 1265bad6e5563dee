"""Masks and key points are exactly those of what is drawn, and every clip comes from its seed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from spikedrive.data.seeds import generator
from spikedrive.data.video import VideoSet, load_video, moving_shapes
from spikedrive.data.video.moving_shapes import APOTHEMS, ARM, _scenes, draw
from spikedrive.errors import ConfigError, DataError, DtypeError, ShapeError, UnknownNameError


def corners(kind: int, radius: float, angle: float, centre: tuple[float, float]) -> list[tuple[float, float]]:
    """Of a bar along the angle, or of a triangle one of whose sides' middle lies at the angle."""
    near = radius * APOTHEMS[kind]
    if kind == 1:
        out, turns = near * math.sqrt(10), [math.atan2(b, a) for a, b in ((3, -1), (3, 1), (-3, 1), (-3, -1))]
    else:
        out, turns = 2 * near, [math.pi / 3 + 2 * math.pi * k / 3 for k in range(3)]
    return [(centre[0] + out * math.cos(angle + a), centre[1] + out * math.sin(angle + a)) for a in turns]


def inside(x: float, y: float, polygon: list[tuple[float, float]]) -> bool:
    """Whether each side has the point on the same hand."""
    pairs = zip(polygon, [*polygon[1:], polygon[0]], strict=True)
    return all((bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0 for (ax, ay), (bx, by) in pairs)


def on_arm(x: float, y: float, a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Near one of many points of the line."""
    many = ((a[0] + (b[0] - a[0]) * k / 400, a[1] + (b[1] - a[1]) * k / 400) for k in range(401))
    return min(math.hypot(x - px, y - py) for px, py in many) <= ARM


@pytest.mark.parametrize("size", [32, 16])
@pytest.mark.parametrize("kind", [0, 1, 2])
def test_a_mask_holds_the_pixels_of_the_drawing(kind: int, size: int) -> None:
    scenes = _scenes(torch.tensor([2 * kind, 2 * kind + 1]), 3, generator(5))
    masks = draw(scenes, size)
    for clip, step in ((0, 1), (1, 2)):
        centre, elbow, hand = (tuple(p.tolist()) for p in scenes.points[clip, step])
        radius, angle = float(scenes.radius[clip]), float(scenes.angle[clip, step])
        shape = corners(kind, radius, angle, centre) if kind else []
        for row in range(0, size, 2):
            for column in range(size):
                x, y = ((i + 0.5) * 32 / size for i in (column, row))
                own = inside(x, y, shape) if kind else math.hypot(x - centre[0], y - centre[1]) <= radius
                arm = on_arm(x, y, centre, elbow) or on_arm(x, y, elbow, hand)
                expected = 4 if arm else (kind + 1) * own
                assert int(masks[clip, step, row, column]) == expected, (clip, step, row, column)


def test_without_noise_the_brightness_of_a_pixel_says_its_mask() -> None:
    clips = moving_shapes("test", clips=12, noise=0)
    for frames, masks in zip(clips.frames, clips.masks, strict=True):
        shades = {int(m): frames[:, 0][masks == m].unique().tolist() for m in masks.unique()}
        assert all(len(found) == 1 for found in shades.values())
        assert shades[0] == [26] and len(shades) == 3
        assert min(shade[0] for number, shade in shades.items() if number) > 100


def test_points_lie_where_the_drawing_has_them() -> None:
    clips = moving_shapes("test", clips=60)
    x, y = (clips.points[..., i] * 32 for i in (0, 1))
    held = ((x > 0) & (x < 32) & (y > 0) & (y < 32)).all(-1)
    assert held.float().mean() > 0.9
    at = clips.masks.flatten(2).gather(2, (y.clamp(0, 31).floor() * 32 + x.clamp(0, 31).floor()).long())
    # the arm begins at the centre and ends at the hand; half its width is the farthest that a pixel's centre is off
    assert (at[held] == 4).all()
    assert x[..., :2].min() >= 2 and x.min() > -2.1 and x.max() < 34.1
    upper, lower = (clips.points[:, :, k + 1] * 32 - clips.points[:, :, k] * 32 for k in (0, 1))
    torch.testing.assert_close(upper.norm(dim=-1), torch.full((60, 8), 6.0))
    torch.testing.assert_close(lower.norm(dim=-1), torch.full((60, 8), 4.0))


def test_the_class_is_the_shape_and_its_way() -> None:
    clips = moving_shapes("train", clips=60)
    for label, masks, points in zip(clips.labels.tolist(), clips.masks, clips.points, strict=True):
        shape, way = clips.class_names[label].split(" to the ")
        assert clips.mask_names[int(masks[(masks > 0) & (masks < 4)].unique())] == shape
        moves = points[1:, 0, 0] - points[:-1, 0, 0]
        assert bool((moves > 0).all()) == (way == "right") and bool((moves < 0).all()) == (way == "left")
    assert clips.labels.bincount().tolist() == [10] * 6


def test_a_clip_to_the_left_is_one_to_the_right_in_reverse() -> None:
    right, left = (_scenes(torch.tensor([label]), 5, generator(3)) for label in (2, 3))
    assert torch.equal(right.points.flip(1), left.points) and torch.equal(right.angle.flip(1), left.angle)


def test_shapes_have_equal_areas() -> None:
    _, bar, triangle = APOTHEMS
    assert [12 * bar**2, 3 * math.sqrt(3) * triangle**2] == pytest.approx([math.pi] * 2)


def test_the_same_arguments_give_the_same_clips() -> None:
    a, b = (moving_shapes("train", clips=12) for _ in range(2))
    assert torch.equal(a.frames, b.frames) and torch.equal(a.points, b.points)
    for other in (moving_shapes("test", clips=12), moving_shapes("train", clips=12, seed=1)):
        assert not torch.equal(a.points, other.points)
    whole = load_video("moving_shapes", "test")
    assert len(whole) == 300 and torch.equal(whole.frames, moving_shapes("test").frames)


def test_parts_of_a_set_keep_what_belongs_together() -> None:
    clips = moving_shapes("test", clips=60)
    train, held = clips.split(0.2, seed=1)
    assert (len(train), len(held)) == (48, 12) and held.labels.bincount().tolist() == [2] * 6
    one = clips.subset(torch.tensor([7]))
    for key in ("frames", "labels", "masks", "points"):
        assert torch.equal(getattr(one, key)[0], getattr(clips, key)[7])


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"frames": torch.zeros(2, 3, 4, 4, dtype=torch.uint8)}, ShapeError, r"it takes \(N, T, C, H, W\)"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, ShapeError, r"got labels of shape \(3,\)"),
        ({"masks": torch.zeros(2, 3, 4, 4)}, DtypeError, r"got masks of torch\.float32"),
        (
            {"masks": torch.full((2, 3, 4, 4), 7, dtype=torch.uint8)},
            DataError,
            "got masks from 7 to 7 and 2 names",
        ),
        ({"point_names": ("a", "b")}, ShapeError, "got points of shape"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    whole = VideoSet(
        torch.zeros(2, 3, 1, 4, 4, dtype=torch.uint8), torch.tensor([0, 1]),
        torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(2, 3, 1, 2), ("a", "b"), ("none", "it"), ("tip",),
    )  # fmt: skip
    with pytest.raises(error, match=said):
        replace(whole, **changes)


def test_names_and_numbers_that_there_are_not() -> None:
    with pytest.raises(UnknownNameError, match="no set of video clips named 'moving_shape'"):
        load_video("moving_shape")
    with pytest.raises(DataError, match="no split 'val'; it has train, test"):
        load_video("moving_shapes", "val")
    with pytest.raises(DataError, match="no split 'val'; it has train, test"):
        moving_shapes("val")
    with pytest.raises(ConfigError, match="got size=4; it takes a number of at least 8"):
        moving_shapes(size=4)
