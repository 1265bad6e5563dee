"""How operations that only move values are lowered."""

from __future__ import annotations

from spikedrive.auditing.trace import Node
from spikedrive.engine.layout import Concat, Pad, Permute, Reshape, Slice
from spikedrive.engine.lower.draft import Draft
from spikedrive.engine.lower.walk import Pieces, Walk, Wire, arguments, rule


@rule(
    "aten.alias.default", "aten.clone.default", "aten.contiguous.default", "aten.detach.default",
    "aten.dropout.default", "aten.feature_dropout.default", "aten.lift_fresh_copy.default",
)  # fmt: skip
def identity(walk: Walk, node: Node) -> Wire:
    """Nothing changes."""
    return walk.wire(node, node.args[0])


@rule(
    "aten.flatten.using_ints", "aten.unflatten.int", "aten.view.default", "aten.reshape.default",
    "aten._unsafe_view.default", "aten.squeeze.dim", "aten.squeeze.dims", "aten.unsqueeze.default",
    "aten.view_as.default",
)  # fmt: skip
def reshape(walk: Walk, node: Node) -> Wire:
    """Another shape, row by row; folding time into the batch changes nothing per sample."""
    return _reshaped(walk, node, walk.wire(node, node.args[0]), node.name)


@rule("aten.expand.default")
def expand(walk: Walk, node: Node) -> Wire:
    """One image shown at every step, computed once, until a neuron gives it time; or axes of one, repeated."""
    wire = walk.wire(node, node.args[0])
    if node.shape[0] != walk.shape(node.args[0])[0] or len(node.shape) != len(walk.shape(node.args[0])):
        steps = int(node.shape[0]) if wire.lead == 1 else wire.lead
        if walk.layout(node, node.shape, steps).item != wire.draft.shape:
            walk.refuse(
                node, f"repeats samples of shape {wire.draft.shape}", "It repeats time or axes, not both"
            )
        return Wire(wire.draft, steps)
    item = walk.layout(node, node.shape, wire.lead).item
    grown = [axis for axis, size in enumerate(item) if size != wire.draft.shape[axis]]
    for axis in grown:
        shape = (*wire.draft.shape[:axis], item[axis], *wire.draft.shape[axis + 1 :])
        draft = Draft(
            Concat, node.name if axis == grown[-1] else f"{node.name}.axis{axis}", node.module,
            (wire.draft,) * item[axis], shape, wire.draft.unit, {"axis": axis}, high=wire.draft.high,
        )  # fmt: skip
        wire = walk.add(draft, wire.lead)
    return wire


@rule("aten.permute.default", "aten.transpose.int", "aten.movedim.int")
def permute(walk: Walk, node: Node) -> Wire:
    """Other axes of the sample."""
    wire, shape = walk.wire(node, node.args[0]), walk.shape(node.args[0])
    order = list(range(len(shape)))
    if node.op == "aten.permute.default":
        order = [axis % len(shape) for axis in node.args[1]]
    else:
        first, second = (axis % len(shape) for axis in node.args[1:3])
        if node.op == "aten.transpose.int":
            order[first], order[second] = order[second], order[first]
        else:
            order.insert(second, order.pop(first))
    layout = walk.layout(node, shape, wire.lead)
    if order[: layout.axis + 1] != list(range(layout.axis + 1)):
        walk.refuse(node, "moves time or batch", "Keep time first and batch second")
    inner = walk.item_axes(node, wire, order[layout.axis + 1 :], shape)
    axes = ((0,) if layout.extra > 1 else ()) + inner
    return walk.like(
        node, Permute, wire, {"axes": axes}, shape=tuple(wire.draft.shape[axis] for axis in axes)
    )


@rule("aten.chunk.default", "aten.split.Tensor", "aten.split_with_sizes.default")
def split(walk: Walk, node: Node) -> Pieces:
    """Ranges along one axis, made where they are used."""
    a = arguments(node)
    wire, shape = walk.wire(node, a["self"]), walk.shape(a["self"])
    (axis,) = walk.item_axes(node, wire, [a["dim"]], shape)
    total = wire.draft.shape[axis]
    if "split_sizes" in a:
        ends = [sum(a["split_sizes"][: i + 1]) for i in range(len(a["split_sizes"]))]
        return Pieces(wire, axis, tuple(zip([0, *ends], ends, strict=False)))
    size = a["split_size"] if "split_size" in a else -(-total // a["chunks"])
    return Pieces(wire, axis, tuple((start, min(start + size, total)) for start in range(0, total, size)))


@rule("getitem")
def getitem(walk: Walk, node: Node) -> Wire:
    """One output of an operation with several."""
    found, index = walk.pieces(node.args[0]), node.args[1]
    if isinstance(found, Pieces):
        start, stop = found.ranges[index]
        return _slice(walk, node, found.source, found.axis, start, stop)
    if found is None or index != 0:
        walk.refuse(node, f"reads output {index} of {node.args[0].name}",
                    "A program has a neuron's output, and keeps its membrane to itself")  # fmt: skip
    return found


@rule("aten.slice.Tensor", "aten.select.int")
def select(walk: Walk, node: Node) -> Wire:
    """A range, or one element, along an axis of the sample; everything, or the only step, of a leading one."""
    a = arguments(node)
    wire, shape = walk.wire(node, a["self"]), walk.shape(a["self"])
    layout = walk.layout(node, shape, wire.lead)
    if layout.item_axis(a["dim"], len(shape)) is None:
        only_step = node.op == "aten.select.int" and wire.lead == 1 and a["dim"] % len(shape) < layout.axis
        if only_step or (node.op == "aten.slice.Tensor" and node.shape == shape):
            return wire
    (axis,) = walk.item_axes(node, wire, [a["dim"]], shape)
    size = wire.draft.shape[axis]
    if node.op == "aten.select.int":
        index = a["index"] % size
        one = _slice(walk, node, wire, axis, index, index + 1)
        return _reshaped(walk, node, one, f"{node.name}.flat")
    start, stop, step = slice(a["start"], a["end"], a["step"]).indices(size)
    if step != 1:
        walk.refuse(node, f"takes every {step}th element", "A range has step 1")
    return wire if (start, stop) == (0, size) else _slice(walk, node, wire, axis, start, stop)


@rule("aten.pad.default", "aten.constant_pad_nd.default")
def pad(walk: Walk, node: Node) -> Wire:
    """A border of zeros."""
    a = arguments(node)
    wire = walk.wire(node, a["self"])
    if a.get("mode", "constant") != "constant" or (a["value"] or 0) != 0 or wire.draft.raw:
        walk.refuse(node, f"pads {'raw pixels' if wire.draft.raw else 'with other than zeros'}",
                    "Pad spikes with zeros, or let the convolution pad")  # fmt: skip
    pairs = list(zip(a["pad"][::2], a["pad"][1::2], strict=True))[::-1]
    widths = ((0, 0),) * (len(wire.draft.shape) - len(pairs)) + tuple(pairs)
    shape = walk.layout(node, node.shape, wire.lead).item
    return walk.like(node, Pad, wire, {"widths": widths}, shape=shape)


def _reshaped(walk: Walk, node: Node, wire: Wire, name: str) -> Wire:
    item = walk.layout(node, node.shape, wire.lead).item
    if item == wire.draft.shape:
        return wire
    return walk.like(node, Reshape, wire, {"shape": item}, shape=item, name=name)


def _slice(walk: Walk, node: Node, wire: Wire, axis: int, start: int, stop: int) -> Wire:
    shape = (*wire.draft.shape[:axis], stop - start, *wire.draft.shape[axis + 1 :])
    return walk.like(node, Slice, wire, {"axis": axis, "start": start, "stop": stop}, shape=shape)
