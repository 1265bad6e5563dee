"""Frames and voxel grids of events: their meaning, and the compiled form against the plain one."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.library import opcheck

from ops.event_batches import COUNTS, batch_of, batches, one_clip
from spikedrive import native as modules
from spikedrive.errors import ConfigError, ShapeError, UnknownNameError, ValueRangeError
from spikedrive.ops.events import EventBatch, frames, frames_domain, reference, voxel_grid
from spikedrive.ops.events import native as compiled

compiled_module = pytest.mark.skipif(modules.train is None, reason="the compiled module is missing")


def numpy_frames(batch: EventBatch, steps: int, by: str, bin: float | None, levels: int | None) -> np.ndarray:
    """One clip at a time in NumPy, as an encoder of this library once counted them."""
    y = np.zeros((steps, len(batch), 2, batch.height, batch.width))
    for b, (first, last) in enumerate(itertools.pairwise(batch.offsets.tolist())):
        since = batch.t[first:last].double().numpy() - float(batch.begin[b])
        length, i = float(batch.end[b]) - float(batch.begin[b]), np.arange(last - first)
        if by == "count":
            step = i * steps // max(1, len(i)) if bin is None else i // int(bin)
        elif bin is None:
            share = since / length if length > 0 else since
            step = np.minimum((share * steps).astype(np.int64), steps - 1)
        else:
            step = (since // bin).astype(np.int64)
        kept = step < steps
        p, row, column = (c[first:last].numpy()[kept] for c in (batch.p, batch.y, batch.x))
        np.add.at(y[:, b], (step[kept], p, row, column), 1)
    return y.clip(max=levels).astype(np.float32)


def numpy_grid(batch: EventBatch, steps: int, signed: bool) -> np.ndarray:
    """The sum of the definition, every event at every step."""
    y = np.zeros((steps, len(batch), 1 if signed else 2, batch.height, batch.width))
    for b, (first, last) in enumerate(itertools.pairwise(batch.offsets.tolist())):
        length = float(batch.end[b]) - float(batch.begin[b])
        for i in range(first, last):
            star = (steps - 1) * (float(batch.t[i]) - float(batch.begin[b])) / length if length > 0 else 0.0
            p = int(batch.p[i])
            weights = np.maximum(0, 1 - np.abs(np.arange(steps) - star)) * (2 * p - 1 if signed else 1)
            y[:, b, 0 if signed else p, int(batch.y[i]), int(batch.x[i])] += weights
    return y


@settings(max_examples=150, deadline=None)
@given(
    batches,
    st.integers(1, 9),
    st.sampled_from(["time", "count"]),
    st.one_of(st.none(), st.integers(1, 400), st.floats(0.3, 400)),
    st.sampled_from([None, 1, 3]),
)
def test_frames_are_those_of_numpy_to_the_bit(batch, steps, by, bin, levels) -> None:
    bin = int(bin + 1) if by == "count" and bin is not None else bin
    wanted = numpy_frames(batch, steps, by, bin, levels)
    y = frames(batch, steps=steps, by=by, bin=bin, levels=levels)
    assert y.dtype == torch.float32 and np.array_equal(y.numpy(), wanted)
    plain = reference.frames(batch, steps, by == "count", bin, levels)
    assert torch.equal(plain, y)
    if bin is None and levels is None:
        assert torch.equal(y.sum((0, 2, 3, 4)).long(), batch.counts)


@settings(max_examples=100, deadline=None)
@given(batches, st.integers(1, 9), st.booleans())
def test_voxel_grids_are_those_of_their_definition(batch, steps, signed) -> None:
    wanted = torch.from_numpy(numpy_grid(batch, steps, signed)).float()
    y = voxel_grid(batch, steps=steps, signed=signed)
    torch.testing.assert_close(y, wanted, rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(reference.voxel_grid(batch, steps, signed), y, rtol=0, atol=2e-6)
    if not signed:
        torch.testing.assert_close(y.sum((0, 2, 3, 4)), batch.counts.float(), rtol=1e-5, atol=1e-5)


@compiled_module
def test_the_compiled_form_is_what_runs_and_the_plain_one_where_it_is_asked_for(monkeypatch) -> None:
    batch, called = batch_of(COUNTS), []
    for name, module in (("compiled", compiled), ("plain", reference)):
        for what in ("frames", "voxel_grid"):
            real = getattr(module, what)
            monkeypatch.setattr(
                module, what, lambda *a, real=real, name=name: (called.append(name), real(*a))[1]
            )
    fast = frames(batch, steps=3), voxel_grid(batch, steps=3)
    monkeypatch.setenv("SPIKEDRIVE_IMPL", "reference")
    slow = frames(batch, steps=3), voxel_grid(batch, steps=3)
    assert called == ["compiled", "compiled", "plain", "plain"]
    assert torch.equal(fast[0], slow[0])
    torch.testing.assert_close(fast[1], slow[1], rtol=0, atol=2e-6)


@compiled_module
@pytest.mark.parametrize("real", [False, True])
def test_threads_and_columns_with_gaps_change_no_bit(real) -> None:
    batch = batch_of([3000, 0, 5000, 4000] * 3, real=real, width=64, height=48)
    gaps = {
        name: torch.stack((getattr(batch, name), getattr(batch, name) + 1), 1)[:, 0]
        for name in ("t", "x", "y", "p", "offsets", "begin", "end")
    }
    spread = replace(batch, **gaps)
    assert not spread.t.is_contiguous()
    for op in (lambda b: frames(b, steps=5), lambda b: voxel_grid(b, steps=5)):
        one = op(batch)
        assert torch.equal(op(spread), one)
        try:
            torch.set_num_threads(2)
            assert torch.equal(op(batch), one)
        finally:
            torch.set_num_threads(1)


def test_a_clip_is_the_same_alone_and_in_a_batch() -> None:
    batch = batch_of(COUNTS, margin=20)
    whole = frames(batch, steps=4), voxel_grid(batch, steps=4)
    for b, (first, last) in enumerate(itertools.pairwise(batch.offsets.tolist())):
        columns = (getattr(batch, name)[first:last] for name in ("t", "x", "y", "p"))
        times = batch.begin[b : b + 1], batch.end[b : b + 1]
        alone = EventBatch(*columns, torch.tensor([0, last - first]), *times, batch.width, batch.height)
        assert torch.equal(frames(alone, steps=4)[:, 0], whole[0][:, b])
        assert torch.equal(voxel_grid(alone, steps=4)[:, 0], whole[1][:, b])


def test_the_ends_of_a_voxel_grid() -> None:
    grid = voxel_grid(one_clip([0, 25, 50, 100], [1, 1, 0, 1], 0, 100), steps=3).flatten()
    assert grid.tolist() == [1.5, 0.5 - 1, 1]
    both = voxel_grid(one_clip([0, 25, 50, 100], [1, 1, 0, 1], 0, 100), steps=3, signed=False)
    assert both[:, 0].flatten(1).tolist() == [[0, 1.5], [1, 0.5], [0, 1]]
    # a window that begins earlier and ends later than its events
    assert voxel_grid(one_clip([50], [1], 0, 200), steps=3).flatten().tolist() == [0.5, 0.5, 0]
    assert voxel_grid(one_clip([7, 7], [1, 1], 7, 7), steps=3).flatten().tolist() == [2, 0, 0]
    assert voxel_grid(one_clip([0, 9], [1, 0], 0, 9), steps=1).flatten().tolist() == [0]


def test_frames_keep_the_clock_of_a_window() -> None:
    assert frames(one_clip([60], [1], 0, 100), steps=2).flatten().tolist() == [0, 0, 0, 1]
    assert frames(one_clip([60], [0], 0, 100), steps=2, bin=50).flatten().tolist() == [0, 0, 1, 0]
    assert frames(one_clip([100], [0], 0, 100), steps=2).flatten().tolist() == [0, 0, 1, 0]
    assert frames(one_clip([], [], 0, 100), steps=2).shape == (2, 1, 2, 1, 1)
    assert str(frames_domain(3)) == "integer 0..3"


@pytest.mark.parametrize("count", [255, 256, 257, 512, 70_001])
@pytest.mark.parametrize("levels", [None, 1, 255, 256, 300])
def test_counts_that_a_byte_does_not_hold(count, levels) -> None:
    alone = frames(one_clip([0] * count, [1] * count, 0, 9), steps=1, levels=levels).flatten()
    assert alone.tolist() == [0, min(count, levels or count)]
    rng = np.random.default_rng(count)
    t = np.sort(rng.integers(0, 900, count + 400))
    # pixel (1, 2) has all but 400 events, which lie around it
    x, y = (
        np.where(np.arange(count + 400) % (count // 400 + 2) == 0, rng.integers(0, 4, count + 400), n)
        for n in (1, 2)
    )
    columns = torch.tensor(t), torch.tensor(x).int(), torch.tensor(y).int()
    offsets = torch.tensor([0, 150, len(t)])
    ends = torch.tensor([0, 0]), torch.tensor([900, 900])
    batch = EventBatch(*columns, torch.tensor(y % 2).to(torch.uint8), offsets, *ends, 4, 4)
    for steps in (1, 2):
        wanted = numpy_frames(batch, steps, "time", None, levels)
        assert np.array_equal(frames(batch, steps=steps, levels=levels).numpy(), wanted)
        assert torch.equal(reference.frames(batch, steps, False, None, levels), torch.from_numpy(wanted))


def flat(batch: EventBatch) -> tuple:
    names = ("t", "x", "y", "p", "offsets", "begin", "end", "width", "height")
    return tuple(getattr(batch, name) for name in names)


def test_they_are_operations_that_pytorch_can_trace() -> None:
    ops, columns = torch.ops.spikedrive, flat(batch_of(COUNTS))
    for result in (
        opcheck(ops.event_frames.default, (*columns, 3, False, None, 2)),
        opcheck(ops.event_frames.default, (*columns, 3, True, 4.0, None)),
        opcheck(ops.event_voxel_grid.default, (*columns, 3, True)),
    ):
        assert set(result.values()) == {"SUCCESS"}
    with pytest.raises(ConfigError, match=r"mapped by torch.vmap; .* Put them into one EventBatch"):
        torch.vmap(lambda x: ops.event_frames(columns[0], x, *columns[2:], 3, False, None, None))(
            columns[1].expand(2, -1)
        )


@pytest.mark.parametrize("implementation", ["auto", "reference"])
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("x", 7, "x = 7"), ("x", -1, "x = -1"), ("y", 5, "y = 5"), ("y", -(2**31), "y = -2147483648"),
        ("p", 2, "p = 2"), ("t", -3, "t = -3"), ("t", 10**6, "t = 1000000"),
    ],
)  # fmt: skip
def test_an_event_outside_is_refused_by_both(implementation, name, value, said, monkeypatch) -> None:
    monkeypatch.setenv("SPIKEDRIVE_IMPL", implementation)
    batch = batch_of(COUNTS)
    for i in (30, 50):
        column = getattr(batch, name).clone()
        column[i] = value
        wrong = replace(batch, **{name: column})
        message = rf"Event {i} has .*{said}.*; clip {1 if i == 30 else 4} takes times from .* Crop"
        with pytest.raises(ValueRangeError, match=message):
            frames(wrong, steps=3)
        with pytest.raises(ValueRangeError, match=message):
            voxel_grid(wrong, steps=3)
    if name == "t" and value > 0:
        # with bins of a size it is one behind the last bin
        assert frames(wrong, steps=3, bin=10).sum() <= sum(COUNTS) - 1


def test_parts_that_do_not_fit_are_refused(unchecked) -> None:
    batch = batch_of(COUNTS)
    for wrong in (
        {"x": batch.x[1:]},
        {"x": batch.x.long()},
        {"begin": batch.begin[1:]},
        {"end": batch.end.double()},
    ):
        with pytest.raises(
            ShapeError, match=r"EventBatch got t \(68,\) int64, x .* data.events.batch_events"
        ):
            replace(batch, **wrong)
    for offsets in ([0, 40, 40, 41, 41, 66, 69], [1, 0, 40, 41, 41, 66, 68], [0, 500, 40, 41, 41, 66, 68]):
        wrong = replace(batch, offsets=torch.tensor(offsets))
        with pytest.raises(ShapeError, match=r"offsets from \d to 6\d for 68 events; they ascend from 0"):
            frames(wrong, steps=2)


def test_a_wrong_argument_is_refused(unchecked) -> None:
    batch = batch_of(COUNTS)
    for arguments, message in (
        ({"steps": 0}, r"frames got steps=0; it takes a whole number from 1 on. Change steps"),
        (
            {"steps": 1, "bin": 0.0},
            r"frames got by='time' and bin=0.0; it takes a time above 0, .* Change bin",
        ),
        ({"steps": 1, "by": "count", "bin": 2.5}, r"by='count' and bin=2.5; .* whole number of events"),
        ({"steps": 1, "levels": 0}, r"frames got levels=0; it takes a whole number from 1 on. Change levels"),
    ):
        with pytest.raises(ConfigError, match=message):
            frames(batch, **arguments)
    with pytest.raises(UnknownNameError, match=r"no way to bin events named 'tme'; 2 are known"):
        frames(batch, steps=1, by="tme")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match=r"voxel_grid got steps=-2"):
        voxel_grid(batch, steps=-2)
