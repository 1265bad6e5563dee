"""Time surfaces, points and spike voxels of events: what each value means."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.event_batches import COUNTS, batch_of, batches, one_clip
from spikedrive.engine.sparse import Rulebook, SubmanifoldConv
from spikedrive.errors import ConfigError, UnknownNameError, ValueRangeError
from spikedrive.ops.events import frames, points, spike_voxels, time_surface

ANY = settings(max_examples=60, deadline=None)


@ANY
@given(batches, st.integers(1, 6), st.floats(1, 900), st.one_of(st.none(), st.integers(1, 500)))
def test_a_surface_is_the_age_of_the_last_event(batch, steps, tau, bin) -> None:
    wanted = torch.zeros(steps, len(batch), 2, batch.height, batch.width, dtype=torch.float64)
    for b, (first, last) in enumerate(itertools.pairwise(batch.offsets.tolist())):
        begin, end = float(batch.begin[b]), float(batch.end[b])
        width = (end - begin) / steps if bin is None else bin
        for i in range(first, last):
            since = float(batch.t[i]) - begin
            if bin is None:
                step = min(int(since / (end - begin) * steps), steps - 1) if end > begin else 0
            else:
                step = int(since // bin)
            for k in range(step, steps):
                # events come in order of time: a later one replaces the one before
                age = max(0.0, (k + 1) * width - since)
                wanted[k, b, int(batch.p[i]), int(batch.y[i]), int(batch.x[i])] = np.exp(-age / tau)
    y = time_surface(batch, steps=steps, tau=tau, bin=bin)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, wanted.float(), rtol=1e-5, atol=1e-7)


def test_a_surface_fades_and_is_renewed() -> None:
    clip = one_clip([0, 10, 150], [1, 1, 0], 0, 400)
    darker, brighter = time_surface(clip, steps=4, tau=100)[:, 0, :, 0, 0].T
    torch.testing.assert_close(brighter, torch.exp(-torch.tensor([0.9, 1.9, 2.9, 3.9])))
    torch.testing.assert_close(darker, torch.exp(-torch.tensor([torch.inf, 0.5, 1.5, 2.5])))
    for bin in (None, 4):
        nothing = time_surface(one_clip([], [], 0, 9), steps=2, tau=5, bin=bin)
        assert nothing.shape == (2, 1, 2, 1, 1) and nothing.abs().sum() == 0


@ANY
@given(batches, st.integers(1, 12), st.sampled_from(["random", "uniform"]), st.booleans(), st.integers(0, 9))
def test_points_are_events_of_their_clip_in_order(batch, number, sample, polarity, seed) -> None:
    found = points(batch, number=number, sample=sample, polarity=polarity, seed=seed)
    assert found.points.shape == (len(batch), number, 4 if polarity else 3)
    assert found.counts.tolist() == [min(n, number) for n in batch.counts.tolist()]
    assert torch.equal(found.mask.sum(1), found.counts)
    length = (batch.end - batch.begin)[batch.clip].double()
    share = torch.where(length > 0, (batch.t - batch.begin[batch.clip]) / length, 0.0)
    table = torch.stack([batch.x / 6, batch.y / 4, share, batch.p][: 4 if polarity else 3], 1).float()
    for b, (first, last) in enumerate(itertools.pairwise(batch.offsets.tolist())):
        mine, n = found.points[b], int(found.counts[b])
        if n == 0:
            assert mine.abs().sum() == 0
            continue
        assert torch.equal(mine, mine[torch.arange(number) % n])
        assert (mine[1:n, 2] >= mine[: n - 1, 2]).all()
        rows = [tuple(row) for row in table[first:last].tolist()]
        for row in {tuple(row) for row in mine[:n].tolist()}:
            # never more often than the clip has it: nothing is put back
            assert mine[:n].tolist().count(list(row)) <= rows.count(row)
        if last - first <= number:
            assert torch.equal(mine[:n], table[first:last])
        elif sample == "uniform":
            chosen = torch.arange(number) * (last - first) // number
            assert torch.equal(mine, table[first:last][chosen])


def test_random_points_follow_their_seed_and_cover_the_clip() -> None:
    batch = batch_of([4000, 10], width=64, height=64)
    one, again, other = (points(batch, number=500, seed=seed).points[0] for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    share = (batch.t[:4000] - batch.begin[0]) / (batch.end[0] - batch.begin[0])
    # the mean of 500 of 4000 uniform times is within five of its standard deviations
    assert abs(float(one[:, 2].mean()) - float(share.mean())) < 5 * 0.29 / 500**0.5
    assert float(one.min()) >= 0 and float(one.max()) <= 1


@ANY
@given(batches, st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.sampled_from([None, 70]))
def test_voxels_are_the_boxes_that_hold_events(batch, steps, pixels, levels, bin) -> None:
    found = spike_voxels(batch, steps=steps, pixels=pixels, levels=levels, bin=bin)
    fine = frames(batch, steps=steps, bin=bin)
    rows, columns = -(-batch.height // pixels), -(-batch.width // pixels)
    padding = (0, columns * pixels - batch.width, 0, rows * pixels - batch.height)
    boxes = (
        torch.nn.functional.pad(fine, padding).unflatten(4, (columns, pixels)).unflatten(3, (rows, pixels))
    )
    wanted = boxes.sum((4, 6)).clamp(max=levels)
    assert found.shape == (steps, rows, columns) and torch.equal(found.dense(), wanted)
    assert len(found.coordinates) == int((wanted.sum(2) > 0).sum())
    assert (found.features.sum(1) > 0).all() and found.coordinates.dtype == torch.int32
    listed = [tuple(site) for site in found.coordinates.tolist()]
    assert listed == sorted(set(listed))


def test_voxels_say_what_they_hold() -> None:
    batch = batch_of(COUNTS)
    assert str(spike_voxels(batch, steps=2).domain) == "binary 0..1"
    assert str(spike_voxels(batch, steps=2, pixels=4, levels=4).domain) == "integer 0..4"
    found = spike_voxels(one_clip([0, 9], [1, 1], 0, 10), steps=2)
    assert found.coordinates.tolist() == [[0, 0, 0, 0], [0, 1, 0, 0]]
    assert found.features.tolist() == [[0, 1], [0, 1]]


def test_voxels_are_sites_of_a_sparse_convolution() -> None:
    found = spike_voxels(batch_of([60, 80], width=16, height=12), steps=3, pixels=2, levels=3)
    weight = np.random.default_rng(0).integers(-9, 9, (5, 2, 3, 3, 3)).astype(np.int8)
    y = SubmanifoldConv(weight)(Rulebook(found.coordinates, 3), found.features.byte())
    dense = found.dense().permute(1, 2, 0, 3, 4)
    wanted = torch.nn.functional.conv3d(dense, torch.from_numpy(weight).float(), padding=1)
    at = found.coordinates.long()
    assert np.array_equal(y, wanted[at[:, 0], :, at[:, 1], at[:, 2], at[:, 3]].int().numpy())


def test_what_is_outside_or_wrong_is_refused(unchecked) -> None:
    batch = batch_of(COUNTS)
    x = batch.x.clone()
    x[3] = 7
    wrong = replace(batch, x=x)
    for make in (
        lambda: time_surface(wrong, steps=2, tau=5.0),
        lambda: points(wrong, number=4),
        lambda: spike_voxels(wrong, steps=2, pixels=4),
    ):
        with pytest.raises(ValueRangeError, match=r"Event 3 has .* x = 7, .* Crop the events"):
            make()
    for make, message in (
        (lambda: time_surface(batch, steps=2, tau=0.0), r"time_surface got tau=0.0; it takes a time above 0"),
        (lambda: time_surface(batch, steps=2, tau=1.0, bin=-1), r"time_surface got bin=-1; .* Change bin"),
        (lambda: points(batch, number=0), r"points got number=0; it takes a whole number from 1 on"),
        (lambda: spike_voxels(batch, steps=2, pixels=0), r"spike_voxels got pixels=0; .* Change pixels"),
    ):
        with pytest.raises(ConfigError, match=message):
            make()
    with pytest.raises(UnknownNameError, match=r"no way to sample points named 'all'; 2 are known"):
        points(batch, number=3, sample="all")  # pyright: ignore[reportArgumentType]
