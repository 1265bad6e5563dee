"""Operations that move elements and compute nothing: views, parts, joins, padding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, joined_origin, materialise
from spikedrive.auditing.rules.elementwise import whole
from spikedrive.auditing.rules.logic import as_bits, bit, is_binary
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.spread import Spread
from spikedrive.auditing.trace import evaluate
from spikedrive.auditing.value import Fold, Value, of_constant, of_integers, of_real
from spikedrive.errors import AuditError
from spikedrive.ops.domain import Domain


@rule(
    "aten.view.default", "aten.reshape.default", "aten._unsafe_view.default", "aten.flatten.using_ints",
    "aten.unflatten.int", "aten.squeeze.default", "aten.squeeze.dim", "aten.squeeze.dims", "aten.unsqueeze.default",
    "aten.contiguous.default", "aten.clone.default", "aten.alias.default", "aten.detach.default",
    "aten.detach_.default", "aten.lift_fresh_copy.default", "aten.view_as.default", "aten.reshape_as.default",
)  # fmt: skip
def same_order(step: Step) -> Value:
    """Another shape, the same elements in the same order."""
    x = step.value("self")
    return x.viewed(step.shape, lambda s: spread.reshaped(s, x.shape, step.shape))


@rule("aten.dropout.default", "aten.feature_dropout.default", "aten.alpha_dropout.default",
      "aten.feature_alpha_dropout.default")  # fmt: skip
def dropout(step: Step) -> Value:
    """The identity in eval mode."""
    if step["train"]:
        raise AuditError(
            f"{step.node.op} in {step.node.where} drops at random; the audit takes eval mode. Call eval()."
        )
    return step.value("input")


@rule("aten.native_dropout.default")
def dropout_with_mask(step: Step) -> tuple[Value, Value]:
    """The same, with the mask of what is kept."""
    return dropout(step), of_constant(spread.constant(1, len(step.node.shapes[1])), step.node.shapes[1])


_FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@rule("aten.to.dtype", "aten._to_copy.default", "aten.to.dtype_layout", "aten.type_as.default", "aten.to.device",
      "aten.to.other")  # fmt: skip
def conversion(step: Step) -> Value:
    """The same numbers in another type; a type without fractions takes only what is whole."""
    return _converted(step, step.value("self"), step.name("self"))


@rule("aten.copy.default")
def copied(step: Step) -> Value:
    """The numbers of one tensor in the shape and the type of another."""
    x = step.value("src").grown(step.shape)
    return _converted(step, replace(x, folds=()), step.name("src"))


def _converted(step: Step, x: Value, name: str) -> Value:
    if step.node.dtype in _FLOATING:
        return x
    if step.node.dtype is torch.bool:
        as_bits(step, x)
        return x if is_binary(x) else bit(step)
    limits = torch.iinfo(step.node.dtype)
    if float(x.low.amin()) >= limits.min and float(x.high.amax()) <= limits.max:
        return whole(step, x, name, "trunc")
    x = materialise(step, x, name)
    step.tally.kind, step.tally.compares = "truncation", step.tally.compares + step.count
    # what does not fit wraps around, or is whatever the machine makes of it
    ends = (spread.constant(end, x.rank) for end in (limits.min, limits.max))
    return of_real(step.shape, *ends)


@rule("aten.permute.default", "aten.transpose.int", "aten.t.default", "aten.movedim.int", "aten.swapaxes.default",
      "aten.numpy_T.default", "aten.mT.default")  # fmt: skip
def reordered(step: Step) -> Value:
    """Axes in another order."""
    x = step.value("self")
    return x.viewed(step.shape, lambda s: _apply(step, s))


def _apply(step: Step, s: Tensor) -> Tensor:
    """The operation itself on something of its operand's rank."""
    return evaluate(step.node, dict.fromkeys(step.node.refs, s))


@rule("aten.expand.default", "aten.expand_as.default", "aten.broadcast_to.default")
def expanded(step: Step) -> Value:
    """Copies along axes of size 1."""
    x = step.value("self")
    grown = x.viewed(step.shape, lambda s: spread.expanded(s, step.shape))
    copies = torch.Size(step.shape).numel() // max(1, x.count)
    # steps stand first; along other axes it is a map made larger
    steps = step.shape[0] // (x.shape[0] if x.rank == len(step.shape) else 1) if copies > 1 else 1
    return replace(grown, repeats=x.repeats * steps, folds=grown.folds if copies == 1 else ())


@rule("aten.select.int", "aten.slice.Tensor", "aten.narrow.default", "aten.index_select.default", "aten.flip.default",
      "aten.roll.default", "aten.repeat.default", "aten.unfold.default", "aten.diagonal.default",
      "aten.reflection_pad1d.default", "aten.reflection_pad2d.default", "aten.reflection_pad3d.default",
      "aten.replication_pad1d.default", "aten.replication_pad2d.default", "aten.replication_pad3d.default")  # fmt: skip
def part(step: Step) -> Value:
    """Some of the elements, or all of them elsewhere."""
    key = "input" if "input" in step._arguments else "self"
    if not has_fixed_indices(step, key):
        raise AuditError(
            f"{step.node.op} in {step.node.where} chooses elements by an index that depends on the input; the audit "
            "has a rule for fixed indices. Use a mask (torch.where)."
        )
    return moved(step, key)


def has_fixed_indices(step: Step, key: str) -> bool:
    """Whether every argument but `key` is known beforehand."""
    others = [name for name in step.node.refs if name != step.name(key)]
    return step.node.refs.count(step.name(key)) == 1 and all(
        step._values[name].base == "constant" for name in others
    )


def moved(step: Step, key: str) -> Value:
    """The elements of the argument `key`, which the operation puts elsewhere by itself."""
    x, name = step.value(key), step.name(key)
    others = {other: step._values[other].tensor for other in step.node.refs if other != name}

    def change(s: Spread) -> Spread:
        if s.numel() == 1:
            return s.reshape((1,) * len(step.shape))
        return evaluate(step.node, {**others, name: spread.full(s, x.shape)})

    changed = x.viewed(step.shape, change)
    # an element that stands twice belongs to two channels
    return replace(changed, folds=changed.folds if changed.count <= x.count else ())


@rule("aten.chunk.default", "aten.split.Tensor", "aten.split.sizes", "aten.split_with_sizes.default",
      "aten.unbind.int", "aten.unsafe_chunk.default")  # fmt: skip
def parts(step: Step) -> tuple[Value, ...]:
    """Several parts; a constant still folds into the layer in front where each part has its own channels."""
    x = step.value("self")
    shapes = [tuple(map(int, shape)) for shape in step.node.shapes]
    read = (
        Counter(step.graph[user].args[1] for user in step.node.users)
        if step.node.op != "aten.unbind.int"
        else {}
    )

    def change(index: int) -> Callable[[Spread], Spread]:
        def one(s: Spread) -> Spread:
            if s.numel() == 1:
                return s.reshape((1,) * len(shapes[index]))
            return evaluate(step.node, {step.name("self"): spread.full(s, x.shape)})[index]

        return one

    pieces = [x.viewed(shape, change(i)) for i, shape in enumerate(shapes)]
    own = all(_disjoint([piece.folds[i].tags for piece in pieces]) for i in range(len(x.folds)))
    return tuple(p if own and read.get(i, 2) == 1 else replace(p, folds=()) for i, p in enumerate(pieces))


def _disjoint(tags: Sequence[Spread]) -> bool:
    seen: set[float] = set()
    for spread_ in tags:
        mine = set(spread_[spread_ >= 0].tolist())
        if mine & seen:
            return False
        seen |= mine
    return True


@rule("aten.cat.default", "aten.concat.default", "aten.concatenate.default")
def concatenated(step: Step) -> Value:
    """Values one after the other along an axis."""
    values = [v for v in step["tensors"] if v.count]
    names = [ref.name for ref in step._arguments["tensors"] if step._values[ref.name].count]
    return _joined(step, values, names, int(step.get("dim", 0)) % len(step.shape))


@rule("aten.stack.default")
def stacked(step: Step) -> Value:
    """Values one after the other along a new axis."""
    axis = int(step.get("dim", 0)) % len(step.shape)
    shape = [*step.shape[:axis], 1, *step.shape[axis + 1 :]]
    values = [v.viewed(shape, lambda s: s.unsqueeze(axis)) for v in step["tensors"]]
    return _joined(step, values, [ref.name for ref in step._arguments["tensors"]], axis)


def _joined(step: Step, values: list[Value], names: list[str], axis: int) -> Value:
    bases = {v.base for v in values}
    if bases == {"constant"}:
        literals = [v.literal for v in values]
        return of_constant(spread.joined(literals, [v.shape for v in values], axis), step.shape)
    silent = [v.base == "constant" and float(v.low.amin()) == float(v.high.amax()) == 0.0 for v in values]
    moving = [v for v, zero in zip(values, silent, strict=True) if not zero]
    if {v.base for v in moving} != {"integer"} and bases != {"image"}:
        values = [
            materialise(step, v, n) if v.base == "integer" else v for v, n in zip(values, names, strict=True)
        ]
    shapes = [v.shape for v in values]

    def join(get: Callable[[Value], Spread]) -> Spread:
        return spread.joined([get(v) for v in values], shapes, axis)

    low, high = join(lambda v: v.low), join(lambda v: v.high)
    gain, offset = join(lambda v: v.gain), join(lambda v: v.offset)
    deferred = tuple(dict.fromkeys(name for v in values for name in v.deferred))
    if len({v.deferred for v in values if v.has_gain}) > 1:
        # constants of several parts are executed on what they make together
        deferred = (*deferred, step.node.name)
    if {v.base for v in moving} == {"integer"}:
        ranges = [v.integers for v in moving if v.integers] + ([Domain(0, 0)] if any(silent) else [])
        origin, levels = joined_origin(moving)
        integers = Domain(min(n.low for n in ranges), max(n.high for n in ranges))
        whole = of_integers(step.shape, integers, origin, levels=levels)
        return replace(whole, low=low, high=high, gain=gain, offset=offset, deferred=deferred)
    whole = of_real(
        step.shape,
        low,
        high,
        weighted=all(v.weighted for v in values),
        base="image" if bases == {"image"} else "real",
    )
    folds = _joined_folds(values, shapes, axis)
    return replace(whole, gain=gain, offset=offset, deferred=deferred, folds=folds)


def _joined_folds(values: list[Value], shapes: list[tuple[int, ...]], axis: int) -> tuple[Fold, ...]:
    if not all(v.folds for v in values):
        return ()
    folds = []
    for i, value in enumerate(values):
        for fold in value.folds:
            absent = spread.constant(-1, value.rank)
            tags = [fold.tags if j == i else absent for j in range(len(values))]
            folds.append(Fold(fold.node, spread.joined(tags, shapes, axis)))
    return tuple(folds)


@rule("aten.constant_pad_nd.default", "aten.pad.default")
def padded(step: Step) -> Value:
    """A border of one constant, or of what stands beside it."""
    if step.get("mode", "constant") != "constant":
        return moved(step, "self")
    x, name, value = step.value("self"), step.name("self"), float(step.get("value", 0) or 0)
    axes = [x.rank - 1 - i for i in range(len(step["pad"]) // 2)]
    varies = any(x.gain.shape[axis] > 1 for axis in axes)
    if x.base == "constant":
        return of_constant(_apply(step, spread.full(x.literal, x.shape)))
    if x.base == "integer" and value == 0 and not x.has_offset and not varies:
        assert x.integers is not None
        integers = Domain(min(0, x.integers.low), max(0, x.integers.high))
        grown = of_integers(step.shape, integers, x.origin or "sum", levels=x.levels)
        return replace(grown, gain=x.gain, deferred=x.deferred, low=_bordered(x.low, axes, 0.0, min),
                       high=_bordered(x.high, axes, 0.0, max))  # fmt: skip
    x = materialise(step, x, name)
    return of_real(step.shape, _bordered(x.low, axes, value, min), _bordered(x.high, axes, value, max),
                   weighted=x.weighted, repeats=x.repeats,
                   base="image" if x.base == "image" else "real")  # fmt: skip


def _bordered(bound: Spread, axes: Sequence[int], value: float, pick: Callable[[Any, Any], Any]) -> Spread:
    lowest = pick is min
    inner = spread.extreme(bound, axes, True, highest=not lowest)
    return inner.clamp(max=value) if lowest else inner.clamp(min=value)
