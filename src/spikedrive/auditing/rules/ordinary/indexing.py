"""Elements read from and written to places that a tensor names.

A place that is known beforehand is a view and free. One that the input decides is a look-up an element; the
value keeps the domain of the elements, and their bounds over the whole tensor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

import torch

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, exception, joined_origin, materialise, within_range
from spikedrive.auditing.ledger import event
from spikedrive.auditing.rules.elementwise import either, is_zero, joins
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.rules.views import has_fixed_indices, moved
from spikedrive.auditing.trace import evaluate
from spikedrive.auditing.value import Value, of_constant, of_integers, of_real, unbounded
from spikedrive.errors import AuditError
from spikedrive.ops.domain import Domain


def anywhere(step: Step, x: Value, name: str, shape: Sequence[int]) -> Value:
    """Elements of x, held by node `name`, none of which has a place that is known beforehand."""
    shape, rank = tuple(map(int, shape)), len(shape)
    low, high = spread.constant(float(x.low.amin()), rank), spread.constant(float(x.high.amax()), rank)
    if x.base == "constant":
        same = bool((low == high).all())
        return of_constant(low, shape) if same else of_real(shape, low, high)
    if not (spread.is_uniform(x.gain) and spread.is_uniform(x.offset)):
        x = materialise(step, x, name)
    gain, offset = (s.flatten()[:1].reshape((1,) * rank) for s in (x.gain, x.offset))
    return replace(x, shape=shape, low=low, high=high, gain=gain, offset=offset, folds=(), repeats=1)


def _look_up(step: Step, count: float) -> None:
    step.tally.kind, step.tally.lookups = "look-up", step.tally.lookups + count


@rule("aten.gather.default", "aten.index.Tensor", "aten._unsafe_index.Tensor", "aten.take.default")
def read(step: Step) -> Value:
    """The elements at the places of an index."""
    if has_fixed_indices(step, "self"):
        return moved(step, "self")
    _look_up(step, step.count)
    return anywhere(step, step.value("self"), step.name("self"), step.shape)


@rule("aten.nonzero.default", "aten.masked_select.default", "aten._local_scalar_dense.default")
def found(step: Step) -> NoReturn:
    """As many elements as the data decides."""
    raise AuditError(
        f"{step.node.op} in {step.node.where} makes something of a size that the data decides; the audit counts what "
        "is the same for every sample. Use a mask (torch.where), or the largest k (torch.topk)."
    )


@rule("aten.as_strided.default", "aten.resize.default", "aten.resize_.default")
def strided(step: Step) -> Value:
    """A window on the memory of x, which may hold more than x, or nothing yet."""
    materialise(step, step.value("self"), step.name("self"))
    return unbounded(step.shape)


@rule("aten.select_scatter.default", "aten.slice_scatter.default")
def part_replaced(step: Step) -> Value:
    """x with a part of it taken from elsewhere, both at places known beforehand."""
    x, part, axis = step.value("self"), step.value("src"), int(step.get("dim", 0)) % len(step.shape)
    names = [step.name("self"), step.name("src")]
    varies = part.rank == x.rank and any(s.shape[axis] > 1 for s in (part.gain, part.offset))
    if varies or not joins(step, [x, _placed(part, x, axis)]):
        # executed where it is, for it is smaller than what it is written to
        part = materialise(step, part, names[1])
    return either(step, [x, _placed(part, x, axis)], names)


def _placed(part: Value, x: Value, axis: int) -> Value:
    """What `part` is along `axis` of x, as large as x."""
    if part.rank < x.rank:
        part = part.viewed([*x.shape[:axis], 1, *x.shape[axis + 1 :]], lambda s: s.unsqueeze(axis))
    if part.base == "constant" and not spread.is_uniform(part.literal):
        part = of_real(part.shape, part.low, part.high)
    return replace(
        part, shape=x.shape, low=spread.extreme(part.low, [axis], True, highest=False),
        high=spread.extreme(part.high, [axis], True, highest=True),
        tensor=None if part.tensor is None else part.literal.flatten()[:1].reshape((1,) * x.rank), folds=(),
    )  # fmt: skip


@rule("aten.diagonal_scatter.default", "aten.as_strided_scatter.default")
def places_replaced(step: Step) -> Value:
    """x with numbers written to places that are known beforehand."""
    written = anywhere(step, step.value("src"), step.name("src"), step.shape)
    return either(step, [step.value("self"), written], [step.name("self"), step.name("src")])


@rule("aten.scatter.value", "aten.scatter.src")
def scattered(step: Step) -> Value:
    """x with numbers written to places that another tensor names."""
    _look_up(step, step.value("index").count)
    if "src" in step._arguments:
        written, name = anywhere(step, step.value("src"), step.name("src"), step.shape), step.name("src")
    else:
        written, name = step.value("value").grown(step.shape), ""
    return either(step, [step.value("self"), written], [step.name("self"), name])


@rule("aten.masked_scatter.default")
def filled_in_order(step: Step) -> Value:
    """x with the next elements of another tensor where the mask is set."""
    _look_up(step, step.count)
    step.tally.ands += step.count
    written = anywhere(step, step.value("source"), step.name("source"), step.shape)
    values = [step.value("self").grown(step.shape), written]
    return either(step, values, [step.name("self"), step.name("source")])


@rule("aten.index_put.default", "aten._unsafe_index_put.default")
def put(step: Step) -> Value:
    """x with elements written to, or added at, the places of an index."""
    x, written = step.value("self"), step.value("values")
    indices = [v for v in step["indices"] if v is not None]
    axes = [axis for axis, v in enumerate(step["indices"]) if v is not None]
    if any(_is_mask(step, place) for place in step._arguments["indices"]):
        named = written_count = float(x.count)
    else:
        named = float(math.prod(torch.broadcast_shapes(*(v.shape for v in indices))))
        written_count = named * math.prod(n for axis, n in enumerate(x.shape) if axis not in axes)
    if not step["accumulate"] and written.count == 1 and named == x.count:
        # a mask and one number
        step.tally.kind, step.tally.ands = "selection", step.tally.ands + x.count
    elif not all(v.base == "constant" for v in indices):
        _look_up(step, written_count)
    if step["accumulate"]:
        ones = torch.ones(written.shape, dtype=torch.float64)
        return _accumulated(step, "values", _collisions(step, "values", ones, named), written_count)
    written = anywhere(step, written, step.name("values"), step.shape)
    return either(step, [x, written], [step.name("self"), step.name("values")])


def _is_mask(step: Step, place: object) -> bool:
    return place is not None and step.graph[place.name].dtype is torch.bool  # type: ignore[attr-defined]


@rule("aten.scatter_add.default")
def scattered_and_added(step: Step) -> Value:
    """x with numbers added at places that another tensor names."""
    index, axis = step.value("index"), int(step["dim"])
    if index.base != "constant":
        _look_up(step, index.count)
    ones = torch.ones(step.value("src").shape, dtype=torch.float64)
    most = _collisions(step, "src", ones, float(index.shape[axis]) if index.rank else 1.0)
    return _accumulated(step, "src", most, float(index.count))


def _collisions(step: Step, key: str, ones: torch.Tensor, worst: float) -> int:
    """How many elements may be added at one place: counted where the places are known."""
    places = [name for name in step.node.refs if name not in (step.name("self"), step.name(key))]
    if any(step._values[name].base != "constant" for name in places):
        return int(worst)
    known = {name: step._values[name].tensor for name in places}
    zeros = torch.zeros(step.shape, dtype=torch.float64)
    given = {**known, step.name("self"): zeros, step.name(key): ones}
    return int(evaluate(step.node, given).amax())


def _accumulated(step: Step, key: str, most: int, count: float) -> Value:
    """x and at most `most` elements of the argument `key` at each place, `count` of them in all."""
    x, added, names = step.value("self"), step.value(key), (step.name("self"), step.name(key))
    rank = len(step.shape)
    ends = [float(added.low.amin()) * most, float(added.high.amax()) * most] if most else [0.0, 0.0]
    low, high = x.low + min(0.0, ends[0]), x.high + max(0.0, ends[1])
    scales = [v for v in (x, added) if not is_zero(v)]
    one = scales[0].gain.flatten()[:1] if scales else torch.ones(1)
    integers = [v for v in scales if v.base == "integer" and not v.has_offset and bool((v.gain == one).all())]
    if integers and len(integers) == len(scales) and added.base == "integer" and added.integers is not None:
        charged = event(names[1], added, spread.constant(count / max(1, added.count), added.rank))
        step.tally.events.append((charged,))
        step.tally.kind, step.tally.domain, step.tally.observed = "sum of integers", added.domain, charged
        base = x.integers if x.integers is not None and not is_zero(x) else Domain(0, 0)
        total = Domain(
            base.low + min(0, added.integers.low * most), base.high + max(0, added.integers.high * most)
        )
        origin = "product" if joined_origin(integers)[0] == "product" else "sum"
        deferred = tuple(dict.fromkeys(name for v in integers for name in v.deferred))
        whole = of_integers(step.shape, total, origin)
        return within_range(
            replace(whole, gain=one.reshape((1,) * rank), deferred=deferred, low=low, high=high)
        )
    materialise(step, x, names[0])
    materialise(step, added, names[1])
    step.tally.kind, step.tally.sums = "sum", step.tally.sums + count
    return of_real(step.shape, low, high)


@rule("aten.scatter_reduce.two")
def scattered_and_reduced(step: Step) -> Value:
    """x joined with numbers at places that another tensor names: their sum, mean, product or extreme."""
    index, how = step.value("index"), step["reduce"]
    keys = ("self", "src")
    x, source = (materialise(step, step.value(key), step.name(key)) for key in keys)
    _look_up(step, index.count)
    bounds = [float(b) for v in (x, source) for b in (v.low.amin(), v.high.amax())]
    rank = len(step.shape)
    if how in ("amax", "amin"):
        step.tally.compares += index.count
        return either(step, [x, anywhere(step, source, step.name("src"), step.shape)],
                      [step.name(key) for key in keys])  # fmt: skip
    if how == "prod":
        exception(step, "product", index.count, f"products of {source.domain} values", "a sum, or a maximum")
        return unbounded(step.shape)
    step.tally.kind, step.tally.sums = "sum", step.tally.sums + index.count
    if how == "mean":
        exception(
            step,
            "division",
            step.count,
            "a mean of as many elements as the index names",
            "a sum, or a maximum",
        )
        return of_real(step.shape, spread.constant(min(bounds), rank), spread.constant(max(bounds), rank))
    most = index.shape[int(step["dim"])] if index.rank else 1
    low, high = min(0.0, bounds[2] * most), max(0.0, bounds[3] * most)
    if not step["include_self"]:
        return of_real(step.shape, x.low.clamp(max=0) + low, x.high.clamp(min=0) + high)
    return of_real(step.shape, x.low + low, x.high + high)


@rule("aten._embedding_bag.default", "aten._embedding_bag_forward_only.default")
def bag(step: Step) -> tuple[Value, ...]:
    """Rows of a table looked up and added bag by bag, with what training needs besides."""
    table, indices = materialise(step, step.value("weight"), step.name("weight")), step.value("indices")
    elements = float(indices.count) * table.shape[1]
    mode, scales = int(step["mode"]), step.get("per_sample_weights")
    _look_up(step, elements)
    ends = [min(0.0, float(table.low.amin())), max(0.0, float(table.high.amax()))]
    if mode == 2:
        step.tally.compares += elements
    else:
        step.tally.sums += elements
    if mode == 1:
        exception(step, "division", step.count, "a mean of as many rows as a bag holds", "a sum of rows")
    if isinstance(scales, Value):
        materialise(step, scales, step.name("per_sample_weights"))
        exception(step, "scaled rows", elements, "each row times a number of its own", "a sum of rows")
        ends = [-math.inf, math.inf]
    elif mode == 0:
        ends = [end * indices.count if end else 0.0 for end in ends]
    rank = len(step.shape)
    first = of_real(step.shape, spread.constant(ends[0], rank), spread.constant(ends[1], rank))
    return first, *(unbounded(shape) for shape in step.node.shapes[1:])
