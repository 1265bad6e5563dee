"""EventRPG: dropping and mixing where a model looks, on counts of events."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import spikedrive as sd
from spikedrive.data.events import Events, FrameReader
from spikedrive.data.events import augment as aug
from spikedrive.data.transforms import one_hot
from spikedrive.errors import ConfigError, DtypeError, ShapeError, ValueRangeError
from spikedrive.training.relevance import (
    EventRPG,
    drop_relevant,
    mix_relevant,
    move_frames,
    place_apart,
    relevant_boxes,
    saliency,
)

STEPS, BATCH, SIZE = 3, 4, 16


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def counts(seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randint(0, 5, (STEPS, BATCH, 2, SIZE, SIZE), generator=source(seed)).to(dtype)


def small_model() -> torch.nn.Module:
    torch.manual_seed(0)
    model = sd.create_model(
        "sew_resnet_nano",
        neuron="LIF",
        steps=STEPS,
        classes=3,
        widths=(8, 16),
        depths=(1, 1),
        in_channels=2,
        input="frames",
    ).train()
    with torch.no_grad():
        for seed in range(5):
            model(counts(seed))
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8])
def test_dropping_touches_nothing_outside_its_mask(dtype: torch.dtype) -> None:
    frames = counts(dtype=dtype)
    mask = torch.zeros(BATCH, SIZE, SIZE, dtype=torch.bool)
    mask[:, 3:9, 5:12] = True
    found = drop_relevant(frames, torch.ones(BATCH), torch.rand(frames.shape), source(), mask=mask)
    assert found.dtype == dtype and found.shape == frames.shape
    outside = ~mask[:, None].expand(frames.shape)
    assert torch.equal(found[outside], frames[outside])
    assert (found <= frames).all() and (found >= 0).all() and (found < frames)[~outside].any()
    if dtype == torch.float32:
        assert torch.equal(found, found.round())


def test_dropping_follows_share_and_saliency() -> None:
    frames = torch.full((1, 2, 2, 100, 100), 10.0)
    where = torch.zeros_like(frames)
    where[..., :50, :], where[:, :, 1] = 0.5, 1.0
    found = drop_relevant(frames, torch.tensor([0.4, 1.0]), where, source())
    # left of 10: none where nothing is salient, 8 and 5 at a half, 6 and 0 at one
    assert (found[:, :, 0, 50:] == 10).all()
    assert found[0, 0, 0, :50].mean() == pytest.approx(8, abs=0.1)
    assert found[0, 1, 0, :50].mean() == pytest.approx(5, abs=0.1)
    assert found[0, 0, 1].mean() == pytest.approx(6, abs=0.1) and not found[0, 1, 1].any()
    again = drop_relevant(frames, torch.tensor([0.4, 1.0]), where, source())
    assert torch.equal(found, again)
    assert not torch.equal(found, drop_relevant(frames, torch.tensor([0.4, 1.0]), where, source(1)))


def test_boxes_lie_around_what_is_salient() -> None:
    where = torch.zeros(2, 3, 2, 20, 30)
    where[0, 0, 1, 5:7, 10:13] = 1.0
    where[:, 1] = 0.3
    where[1, 2, 0, 19, 29] = 5.0
    assert relevant_boxes(where, cell=1) == [(10, 5, 13, 7), (0, 0, 30, 20), (29, 19, 30, 20)]
    # cells of 8: those that the rectangle touches, cut to the sensor
    assert relevant_boxes(where, cell=8) == [(8, 0, 16, 8), (0, 0, 30, 20), (24, 16, 30, 20)]
    # a limit that nothing reaches is lowered to the largest value
    where[0, 0, 1, 5, 10] = 2.0
    assert relevant_boxes(where, cell=1, deviations=1000.0)[0] == (10, 5, 11, 6)
    assert relevant_boxes(where, cell=64)[0] == (0, 0, 30, 20)
    with pytest.raises(ConfigError, match="relevant_boxes got cell=0"):
        relevant_boxes(where, cell=0)


def area(box: tuple[int, int, int, int]) -> int:
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> int:
    wide, tall = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    return max(wide, 0) * max(tall, 0)


@settings(max_examples=150, deadline=None)
@given(sizes=st.lists(st.integers(1, 12), min_size=4, max_size=4), seed=st.integers(0, 999))
def test_boxes_lie_apart_where_they_fit(sizes: list[int], seed: int) -> None:
    width, height = 14, 12
    w, h, v, g = sizes
    one, other = place_apart((1, 0, 1 + w, h), (0, 0, v, g), width, height, source(seed))
    assert (one[2] - one[0], one[3] - one[1], other[2] - other[0], other[3] - other[1]) == (w, h, v, g)
    for box in (one, other):
        assert box[0] >= 0 and box[2] <= width and box[1] >= 0 and box[3] <= height
    assert overlap(one, other) == max(w + v - width, 0) * max(h + g - height, 0)


def test_boxes_come_to_lie_everywhere() -> None:
    found = {place_apart((0, 0, 3, 3), (0, 0, 3, 3), 7, 7, source(seed)) for seed in range(300)}
    assert len(found) > 150
    corners = {place_apart((0, 0, 6, 6), (0, 0, 5, 5), 8, 8, source(seed)) for seed in range(100)}
    assert {one[:2] for one, _ in corners} == {(0, 0), (2, 2), (0, 2), (2, 0)}


@pytest.mark.parametrize("side", [(4, 6), (12, 13)])
def test_labels_are_mixed_by_the_area_of_the_boxes(side: tuple[int, int]) -> None:
    # the clips are told by their counts; each box is full of them
    frames = torch.zeros(STEPS, 2, 2, SIZE, SIZE, dtype=torch.int32)
    boxes = [(1, 2, 1 + side[0], 2 + side[1]), (3, 1, 3 + side[1], 1 + side[0])]
    for b, (left, top, right, bottom) in enumerate(boxes):
        frames[:, b, :, top:bottom, left:right] = b + 1
    seen = set()
    for seed in range(20):
        mixed, targets = mix_relevant(frames, torch.eye(2), boxes, source(seed))
        assert mixed.dtype == torch.int32 and mixed.shape == frames.shape
        assert torch.equal(mixed, mix_relevant(frames, torch.eye(2), boxes, source(seed))[0])
        for b in (0, 1):
            own, theirs = (int((mixed[0, b, 0] == k + 1).sum()) for k in (b, 1 - b))
            assert theirs == side[0] * side[1]
            both = (2 * side[0] * side[1]) - own - theirs
            assert (both > 0) == (side[0] > 8)
            assert targets[b, b].item() == pytest.approx(own / (own + theirs))
            assert targets[b].sum().item() == pytest.approx(1)
        seen.add(tuple(mixed[0, 0, 0].flatten().tolist()))
    assert len(seen) > 1


def test_a_mix_of_nothing_stays_as_it_came() -> None:
    frames = counts()
    frames[:, 1:3] = 0
    boxes = [(0, 0, SIZE, SIZE), (2, 2, 3, 3), (2, 2, 3, 3), (0, 0, 1, 1)]
    mixed, targets = mix_relevant(frames, torch.eye(BATCH), boxes, source())
    # clip 1 is mixed with clip 2, and both are empty
    assert not mixed[:, 1].any() and targets[1].tolist() == [0, 1, 0, 0]
    # the whole sensor is in front of clip 1's box
    assert targets[0, 0].item() == pytest.approx(255 / 256)


@pytest.mark.parametrize(
    ("matrix", "shift"),
    [
        (aug.affine(angle=0.7), (0.0, 0.0)),
        (aug.affine(scale=0.6), (2.0, -1.0)),
        (aug.affine(shear=(0.3, 0.0)), (0.0, 3.0)),
        (aug.affine(scale=1.5), (0.0, 0.0)),
    ],
)
def test_counts_move_as_their_events_do(matrix, shift) -> None:
    chance = source(5)
    x, y, p, t = (torch.randint(0, most, (400,), generator=chance).numpy() for most in (9, 7, 2, 30))
    t.sort()
    clip = Events.of(t, x, y, p, width=9, height=7)
    reader = FrameReader(3, 9, 7, window=10)
    frames = reader([clip])
    wanted = reader([aug.move(clip, matrix, shift)])
    assert torch.equal(move_frames(frames, matrix, shift), wanted)
    assert torch.equal(move_frames(frames.to(torch.uint8), matrix, shift), wanted.to(torch.uint8))


def test_counts_of_small_integers_do_not_go_round() -> None:
    frames = torch.full((1, 2, 4, 4), 200, dtype=torch.uint8)
    assert move_frames(frames, aug.affine(scale=0.1)).amax() == 255


def test_saliency_is_a_share_of_each_clip_and_lies_on_the_object() -> None:
    model, frames = small_model(), counts()
    frames[..., SIZE // 2 :] = 0
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = saliency(model, frames)
    assert found.shape == frames.shape and model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    each = found.transpose(0, 1).flatten(1)
    torch.testing.assert_close(each.amin(1), torch.zeros(BATCH))
    torch.testing.assert_close(each.amax(1), torch.ones(BATCH))
    assert found[..., : SIZE // 2].mean() > found[..., SIZE // 2 :].mean()
    silent = saliency(model, torch.zeros_like(frames))
    assert not silent.any() and relevant_boxes(silent) == [(0, 0, SIZE, SIZE)] * BATCH


@pytest.mark.parametrize("mix", [0.0, 1.0])
@pytest.mark.parametrize("method", ["slrp", "sltrp"])
def test_event_rpg_keeps_shapes_domains_and_the_model(mix: float, method: str) -> None:
    model, frames = small_model(), counts(7)
    frames[:, 2] = 0
    targets = one_hot(torch.tensor([0, 1, 2, 0]), 3)
    augmented = EventRPG(mix=mix, method=method, cell=4)
    before, changed = {key: value.clone() for key, value in model.state_dict().items()}, 0
    for seed in range(12):
        came = frames.clone()
        found, mixed = augmented(model, frames, targets, source(seed))
        again, mixed_again = augmented(model, frames, targets, source(seed))
        assert torch.equal(frames, came) and torch.equal(found, again) and torch.equal(mixed, mixed_again)
        assert found.shape == frames.shape and found.dtype == frames.dtype
        assert torch.equal(found, found.round()) and (found >= 0).all()
        torch.testing.assert_close(mixed.sum(1), torch.ones(BATCH))
        assert mix == 1 or torch.equal(mixed, targets)
        # no clip is emptied
        assert found.transpose(0, 1).flatten(1).any(1)[[0, 1, 3]].all()
        changed += not torch.equal(found, frames)
    assert changed > 9 and model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_dropping_by_relevance_is_one_of_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        "spikedrive.training.relevance.guided.saliency",
        lambda model, frames, **_: asked.append(1) or torch.ones_like(frames),
    )
    frames, targets = counts(), torch.eye(BATCH)
    model = torch.nn.Identity()
    for seed in range(300):
        EventRPG(mix=0.0)(model, frames, targets, source(seed))
    assert len(asked) == pytest.approx(30, abs=3 * math.sqrt(27))


def test_arguments_that_are_refused() -> None:
    frames, model = counts(), torch.nn.Identity()
    with pytest.raises(ShapeError, match=r"EventRPG got frames of shape .*; it takes \(T, B, 2, H, W\)"):
        EventRPG()(model, frames[:, :, :1], torch.eye(BATCH), source())
    with pytest.raises(ShapeError, match="one row a clip"):
        EventRPG()(model, frames, torch.eye(3), source())
    with pytest.raises(DtypeError, match="Make them with one_hot"):
        EventRPG()(model, frames, torch.eye(BATCH).long(), source())
    with pytest.raises(ConfigError, match=r"EventRPG got mix=2; it takes a number from 0 to 1"):
        EventRPG(mix=2)
    with pytest.raises(ValueRangeError, match="no whole numbers of events; counts are taken"):
        drop_relevant(frames / 3, torch.ones(BATCH), frames, source())
    with pytest.raises(ShapeError, match=r"saliency is as frames, and shares are \(B,\)"):
        drop_relevant(frames, torch.ones(3), frames, source())
    with pytest.raises(ShapeError, match=r"got a mask of \(3, 3\)"):
        drop_relevant(frames, torch.ones(BATCH), frames, source(), mask=torch.ones(3, 3).bool())
    with pytest.raises(ShapeError, match="4 clips, 1 boxes and 4 targets"):
        mix_relevant(frames, torch.eye(BATCH), [(0, 0, 1, 1)], source())
