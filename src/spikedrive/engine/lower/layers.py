"""How layers, sums, products and pools are lowered."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from spikedrive.auditing.trace import Node, Ref
from spikedrive.engine.arithmetic import (
    Add,
    Conv2d,
    Embedding,
    Linear,
    MatMul,
    MaxPool2d,
    Multiply,
    Scale,
    Sum,
    SumSteps,
    window_count,
)
from spikedrive.engine.ir import Input
from spikedrive.engine.layout import Concat
from spikedrive.engine.lower.draft import Draft, TableDraft, Unit, WeightedDraft
from spikedrive.engine.lower.walk import Walk, Wire, arguments, pair, rule
from spikedrive.engine.quantise import Stream, check_finite, power_of_two


@rule("aten.conv2d.default")
def conv2d(walk: Walk, node: Node) -> Wire:
    """A convolution over spikes, or the first one over raw pixels."""
    a = arguments(node)
    wire = walk.wire(node, a["input"])
    geometry = {key: pair(a[key]) for key in ("stride", "padding", "dilation")}
    weight, bias = _parameters(walk, node, a)
    if len(wire.draft.shape) != 3:
        walk.refuse(node, f"reads samples of shape {wire.draft.shape}", "It takes (C, H, W)")
    sizes = zip(wire.draft.shape[1:], weight.shape[2:], *geometry.values(), strict=True)
    shape = (len(weight), *(window_count(*size) for size in sizes))
    center = None
    if wire.draft.raw:
        if wire.draft.kind is not Input:
            walk.refuse(
                node, "reads pixels that were moved", "The first convolution reads the image as it is"
            )
        group = np.arange(len(weight)) // (len(weight) // a["groups"])
        channels = group[:, None] * weight.shape[1] + np.arange(weight.shape[1])
        weight = weight / (255 * walk.std[channels])[:, :, None, None]
        center = 255 * walk.mean
    fields = {**geometry, "groups": a["groups"]}
    return _weighted(walk, node, Conv2d, wire, shape, weight, bias, center, fields)


@rule("aten.linear.default")
def linear(walk: Walk, node: Node) -> Wire:
    """A linear layer over spikes, or the first one over raw pixels with the same mean and std everywhere."""
    a = arguments(node)
    wire = walk.wire(node, a["input"])
    weight, bias = _parameters(walk, node, a)
    center = None
    if wire.draft.raw:
        if len(set(walk.mean)) > 1 or len(set(walk.std)) > 1:
            walk.refuse(node, f"reads raw pixels with the means {walk.mean} and deviations {walk.std}",
                        "A linear first layer needs the same for all channels; start with a convolution")  # fmt: skip
        weight, center = weight / (255 * walk.std[0]), 255 * walk.mean[0]
    return _weighted(
        walk, node, Linear, wire, (*wire.draft.shape[:-1], len(weight)), weight, bias, center, {}
    )


@rule("aten.embedding.default")
def embedding(walk: Walk, node: Node) -> Wire:
    """A row of a table for each token id."""
    a = arguments(node)
    wire = walk.wire(node, a["indices"])
    table, _ = _parameters(walk, node, {**a, "bias": None})
    ids = wire.draft
    while ids.inputs:
        ids = ids.inputs[0]
    if not wire.draft.raw:
        walk.refuse(node, "looks up what was computed", "A table takes the token ids as they come in")
    # an id that one table lacks is none for the program
    ids.fields["high"] = min(len(table) - 1, ids.fields.get("high", len(table) - 1))
    draft = TableDraft(Embedding, node.name, node.module, (wire.draft,), (*wire.draft.shape, table.shape[1]),
                       Unit(Stream()), table=table)  # fmt: skip
    return walk.add(draft, wire.lead)


@rule("aten.add.Tensor")
def add(walk: Walk, node: Node) -> Wire:
    """A sum of two values that share their unit from here on."""
    a, b = (walk.wire(node, argument) for argument in node.args[:2])
    if node.kwargs.get("alpha", 1) != 1:
        walk.refuse(
            node, f"scales its second term by {node.kwargs['alpha']}", "Write the factor as a product"
        )
    high = None if a.draft.high is None or b.draft.high is None else a.draft.high + b.draft.high
    return _join(walk, node, Add, (a, b), _broadcast(walk, node, a, b), high, {})


@rule("aten.cat.default")
def concat(walk: Walk, node: Node) -> Wire:
    """Values one after another, in one unit."""
    a = arguments(node)
    wires = tuple(walk.wire(node, argument) for argument in a["tensors"])
    (axis,) = walk.item_axes(node, wires[0], [a["dim"]], walk.shape(a["tensors"][0]))
    highs = [wire.draft.high for wire in wires]
    high = None if None in highs else max(h for h in highs if h is not None)
    shape = walk.layout(node, node.shape, max(w.lead for w in wires)).item
    return _join(walk, node, Concat, wires, shape, high, {"axis": axis})


@rule("aten.mul.Tensor", "aten.mul.Scalar", "aten.div.Tensor", "aten.div.Scalar")
def multiply(walk: Walk, node: Node) -> Wire:
    """A product of two neurons' integers, or by a power of two."""
    first, second = node.args[:2]
    if walk.constant(first) is not None and node.op.startswith("aten.mul"):
        first, second = second, first
    a, factor = walk.wire(node, first), walk.constant(second)
    if factor is None:
        b = walk.wire(node, second)
        if not node.op.startswith("aten.mul"):
            walk.refuse(
                node, "divides activations by activations", "A program adds and multiplies integers only"
            )
        return _product(walk, node, Multiply, a, b, _broadcast(walk, node, a, b), 1)
    power = power_of_two(float(factor)) if factor.ndim == 0 else None
    if power is None or a.draft.raw:
        walk.refuse(node, f"multiplies by {np.array2string(factor, threshold=4)}",
                    "A factor is a power of two, a shift; fold another one into a weight or a threshold")  # fmt: skip
    power = power if node.op.startswith("aten.mul") else -power
    return walk.like(node, Scale, a, {"power": power}, unit=a.draft.unit.times(power))


@rule("aten.matmul.default", "aten.bmm.default")
def matmul(walk: Walk, node: Node) -> Wire:
    """A matrix product of two neurons' integers."""
    a, b = (walk.wire(node, argument) for argument in node.args)
    shape = walk.layout(node, node.shape, max(a.lead, b.lead)).item
    if min(len(a.draft.shape), len(b.draft.shape)) < 2 or len(a.draft.shape) != len(b.draft.shape):
        walk.refuse(node, f"multiplies {a.draft.shape} by {b.draft.shape} per sample",
                    "Both take (..., N, K) and (..., K, M)")  # fmt: skip
    return _product(walk, node, MatMul, a, b, shape, a.draft.shape[-1])


@rule("aten.sum.dim_IntList")
def sum_axes(walk: Walk, node: Node) -> Wire:
    """A sum over axes of the sample, or over the steps."""
    return _sum(walk, node, mean=False)


@rule("aten.mean.dim")
def mean_axes(walk: Walk, node: Node) -> Wire:
    """A mean: the sum, in units of 1 / count."""
    return _sum(walk, node, mean=True)


@rule("aten.adaptive_avg_pool2d.default")
def global_average(walk: Walk, node: Node) -> Wire:
    """A mean over all positions."""
    wire = walk.wire(node, node.args[0])
    if tuple(pair(node.args[1])) != (1, 1):
        walk.refuse(node, f"averages to {node.args[1]} positions", "A program averages over all positions")
    rank = len(wire.draft.shape)
    return _summed(walk, node, wire, (rank - 2, rank - 1), keep=True, mean=True)


@rule("aten.max_pool2d.default")
def max_pool2d(walk: Walk, node: Node) -> Wire:
    """The largest of each window; it commutes with every unit."""
    a = arguments(node)
    wire = walk.wire(node, a["self"])
    if a["ceil_mode"] or wire.draft.raw:
        walk.refuse(node, "rounds its size up" if a["ceil_mode"] else "pools raw pixels",
                    "It takes ceil_mode=False, behind the first layer")  # fmt: skip
    kernel = pair(a["kernel_size"])
    fields = {"kernel": kernel, "stride": pair(a["stride"] or kernel), "padding": pair(a["padding"]),
              "dilation": pair(a["dilation"])}  # fmt: skip
    return walk.like(node, MaxPool2d, wire, fields, shape=walk.layout(node, node.shape, wire.lead).item)


def _parameters(walk: Walk, node: Node, a: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a layer in fp64, checked to be parameters of its module and of no other layer."""
    weight, bias = walk.constant(a["weight"]), walk.constant(a["bias"])
    target = walk.graph[a["weight"].name].target if isinstance(a["weight"], Ref) else ""
    if weight is None or target != f"{node.module}.weight" or target in walk.targets:
        why = "is used twice" if target in walk.targets else f"is {target or 'computed'!r}"
        walk.refuse(node, f"has a weight that {why}",
                    f"It takes the parameter {node.module + '.weight'!r}, used once; fuse the model first")  # fmt: skip
    walk.targets.add(target)
    bias = np.zeros(len(weight)) if bias is None else bias
    check_finite(node.module, weight)
    check_finite(node.module, bias)
    return weight, bias


def _weighted(
    walk: Walk,
    node: Node,
    kind: type[Conv2d] | type[Linear],
    wire: Wire,
    shape: tuple[int, ...],
    weight: np.ndarray,
    bias: np.ndarray,
    center: Any,
    fields: dict[str, Any],
) -> Wire:
    source = wire.draft
    if source.high is None or source.unit.stream is not None:
        walk.refuse(node, "meets membrane potentials", "A layer reads neurons' outputs; fuse linear layers, or put a "
                    "neuron between them")  # fmt: skip
    weight = weight * 2.0**source.unit.offset
    draft = WeightedDraft(
        kind, node.name, node.module, (source,), shape, Unit(Stream(), divisor=source.unit.divisor), fields,
        weight=weight, bias=bias, center=None if center is None else np.asarray(center, float),
    )  # fmt: skip
    return walk.add(draft, wire.lead)


def _broadcast(walk: Walk, node: Node, a: Wire, b: Wire) -> tuple[int, ...]:
    if len(a.draft.shape) != len(b.draft.shape) or a.draft.raw or b.draft.raw:
        what = (
            "raw pixels" if a.draft.raw or b.draft.raw else f"{a.draft.shape} and {b.draft.shape} per sample"
        )
        walk.refuse(
            node, f"combines {what}", "Both sides have the same number of axes, behind the first layer"
        )
    return np.broadcast_shapes(a.draft.shape, b.draft.shape)


def _join(
    walk: Walk,
    node: Node,
    kind: Any,
    wires: tuple[Wire, ...],
    shape: tuple[int, ...],
    high: int | None,
    fields: dict[str, Any],
) -> Wire:
    """A draft whose inputs are in one unit: the streams meet here."""
    unit = wires[0].draft.unit
    for wire in wires[1:]:
        unit = _meet(walk, node, unit, wire.draft.unit)
    drafts = tuple(wire.draft for wire in wires)
    draft = Draft(kind, node.name, node.module, drafts, shape, unit, fields, aligned=True, high=high)
    return walk.add(draft, max(wire.lead for wire in wires))


def _meet(walk: Walk, node: Node, a: Unit, b: Unit) -> Unit:
    """The finer of two units, the streams joined where there are two."""
    if a.divisor != b.divisor:
        walk.refuse(
            node,
            f"adds means over {a.divisor} and {b.divisor} elements",
            "Both sides are means of the same count",
        )
    if a.stream is None or b.stream is None:
        if a.stream is None and b.stream is None:
            return a if a.offset <= b.offset else b
        streamed, fixed = (a, b) if b.stream is None else (b, a)
        assert streamed.stream is not None
        streamed.stream.limit(fixed.offset - streamed.offset)
        return streamed
    difference = a.stream.difference(b.stream)
    if difference is None:
        a.stream.join(b.stream, b.offset - a.offset)
        return a
    return a if difference + a.offset <= b.offset else b


def _product(walk: Walk, node: Node, kind: Any, a: Wire, b: Wire, shape: tuple[int, ...], terms: int) -> Wire:
    """A product of two neurons' integers."""
    high_a, high_b = a.draft.high, b.draft.high
    if high_a is None or high_b is None or a.draft.raw or b.draft.raw:
        walk.refuse(node, "multiplies membrane potentials or pixels", "Both factors are outputs of neurons")
    unit = Unit(None, a.draft.unit.offset + b.draft.unit.offset, a.draft.unit.divisor * b.draft.unit.divisor)
    draft = Draft(kind, node.name, node.module, (a.draft, b.draft), shape, unit, high=terms * high_a * high_b)
    return walk.add(draft, max(a.lead, b.lead))


def _sum(walk: Walk, node: Node, *, mean: bool) -> Wire:
    a = arguments(node)
    wire, shape = walk.wire(node, a["self"]), walk.shape(a["self"])
    axes = a["dim"]
    layout = walk.layout(node, shape, wire.lead)
    if list(axes or ()) == [0] and layout.axis == 1 and not a["keepdim"]:
        return _summed(walk, node, wire, None, keep=False, mean=mean)
    return _summed(
        walk, node, wire, walk.item_axes(node, wire, axes or (0,), shape), keep=a["keepdim"], mean=mean
    )


def _summed(
    walk: Walk, node: Node, wire: Wire, axes: tuple[int, ...] | None, *, keep: bool, mean: bool
) -> Wire:
    """A sum over `axes` of the sample or, with None, over the steps."""
    source = wire.draft
    if source.raw:
        walk.refuse(node, "sums raw pixels", "Sum behind the first layer")
    if axes is None and wire.lead == 1:
        return wire
    count = wire.lead if axes is None else math.prod(source.shape[axis] for axis in axes)
    twos = (count & -count).bit_length() - 1 if mean else 0
    unit = replace(
        source.unit, offset=source.unit.offset - twos, averaged=source.unit.averaged + twos,
        divisor=source.unit.divisor * (count >> twos if mean else 1),
    )  # fmt: skip
    high = None if source.high is None else source.high * count
    if axes is None:
        draft = Draft(SumSteps, node.name, node.module, (source,), source.shape, unit,
                      {"steps": count, "mean": mean}, high=high)  # fmt: skip
        return walk.add(draft, 1)
    shape = tuple(1 if i in axes else n for i, n in enumerate(source.shape) if keep or i not in axes)
    fields = {"axes": tuple(sorted(axes)), "keep": keep, "mean": mean}
    return walk.add(Draft(Sum, node.name, node.module, (source,), shape, unit, fields, high=high), wire.lead)
