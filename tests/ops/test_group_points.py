"""Farthest points and nearest neighbours: against loops, for any order, and where points coincide."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from spikedrive.errors import ShapeError
from spikedrive.ops.points import group_points


def plainly(points: Tensor, groups: int, neighbours: int) -> tuple[list[int], list[list[int]]]:
    """Both for one sample (N, D), with sums of Python's floats."""
    rows = points.tolist()
    order = sorted(range(len(rows)), key=lambda i: rows[i])

    def squared(i: int, j: int) -> float:
        return sum((a - b) ** 2 for a, b in zip(rows[i][:3], rows[j][:3], strict=True))

    centres = [order[0]]
    while len(centres) < groups:
        left = [i for i in order if i not in centres]
        centres.append(max(left, key=lambda i: min(squared(i, c) for c in centres)))
    members = [sorted(order, key=lambda i: squared(i, c))[:neighbours] for c in centres]
    return centres, members


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(1, 14), grid=st.integers(1, 5), width=st.integers(3, 4), seed=st.integers(0, 999),
    data=st.data(),
)  # fmt: skip
def test_both_are_what_loops_give(count: int, grid: int, width: int, seed: int, data: st.DataObject) -> None:
    groups, neighbours = data.draw(st.integers(1, count)), data.draw(st.integers(1, count))
    # a coarse grid, so that distances are equal and points coincide
    points = torch.randint(grid, (2, count, width), generator=torch.Generator().manual_seed(seed)) / grid
    centres, members = group_points(points, groups, neighbours)
    for sample in range(2):
        # rows that coincide are the same point, whichever of them is taken
        wanted = plainly(points[sample], groups, neighbours)
        assert torch.equal(points[sample][centres[sample]], points[sample][wanted[0]])
        assert torch.equal(points[sample][members[sample]], points[sample][torch.tensor(wanted[1])])


@settings(deadline=None, max_examples=30)
@given(count=st.integers(2, 30), seed=st.integers(0, 999))
def test_the_order_of_points_says_nothing(count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = torch.randint(4, (1, count, 3), generator=generator) / 4
    other = points[:, torch.randperm(count, generator=generator)]
    for a, b in zip(group_points(points, 2, count // 2), group_points(other, 2, count // 2), strict=True):
        assert torch.equal(points[0][a[0]], other[0][b[0]])


def test_no_point_is_a_middle_twice_though_all_coincide() -> None:
    centres, members = group_points(torch.zeros(1, 5, 3), 5, 2)
    assert sorted(centres[0].tolist()) == [0, 1, 2, 3, 4]
    assert members.shape == (1, 5, 2)


def test_a_column_behind_the_axes_breaks_ties_and_is_no_distance() -> None:
    points = torch.tensor([[[0.0, 0, 0, 1], [0.0, 0, 0, 0], [1.0, 0, 0, 0]]])
    centres, members = group_points(points, 2, 2)
    assert centres.tolist() == [[1, 2]]
    assert members.tolist() == [[[1, 0], [2, 1]]]


def test_no_samples_and_samples_one_by_one() -> None:
    points = torch.rand(3, 20, 3, generator=torch.Generator().manual_seed(0))
    together = group_points(points, 4, 5)
    for sample in range(3):
        alone = group_points(points[sample : sample + 1], 4, 5)
        assert all(torch.equal(a[0], b[sample]) for a, b in zip(alone, together, strict=True))
    centres, members = group_points(points[:0], 4, 5)
    assert (centres.shape, members.shape) == ((0, 4), (0, 4, 5))


@pytest.mark.parametrize(
    ("shape", "groups", "neighbours", "message"),
    [
        ((1, 4, 3), 5, 2, "got 4 points for 5 groups of 2; it takes at least as many points as either"),
        ((1, 4, 3), 2, 5, "got 4 points for 2 groups of 5"),
        ((1, 4, 2), 2, 2, r"shape \(1, 4, 2\) for 2 groups of 2; it takes \(B, N, D\) with D of at least 3"),
        ((1, 4, 3), 0, 2, "and at least 1 of each"),
    ],
)
def test_what_cannot_be_grouped_is_named(
    shape: tuple[int, ...], groups: int, neighbours: int, message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        group_points(torch.zeros(shape), groups, neighbours)


def test_it_is_one_node_of_an_exported_graph() -> None:
    class Grouped(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return group_points(x, 3, 4)[1]

    points = torch.rand(2, 9, 3)
    program = torch.export.export(Grouped(), (points,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert sum("group_points" in str(node.target) for node in program.graph.nodes) == 1
    other = torch.rand(5, 9, 3)
    assert torch.equal(program.module()(other), Grouped()(other))
