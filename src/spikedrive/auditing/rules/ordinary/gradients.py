"""Gradients that a forward pass computes by itself, as a network that descends while it answers does."""

from __future__ import annotations

import math
from collections.abc import Callable

from spikedrive.auditing.folding import Step, exception, materialise, materialise_all
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.value import Value, unbounded

FORWARD = "a forward pass without gradients"


def _tensor(step: Step, key: str) -> Value:
    value = step[key]
    return materialise(step, value, step.name(key))


def _charged(step: Step, products: float, sums: float) -> Value:
    exception(step, "gradient", products, "gradients are real numbers", FORWARD)
    step.tally.sums += sums
    return unbounded(step.shape)


@rule("aten.convolution_backward.default")
def of_convolution(step: Step) -> tuple[Value | None, ...]:
    """As many products as the convolution has, for the input and for the weight."""
    gradient, x, weight = (_tensor(step, key) for key in ("grad_output", "input", "weight"))
    inside = x if step["transposed"] else gradient
    macs = float(inside.count) * math.prod(weight.shape[1:])
    wanted = [bool(asked) for asked in step["output_mask"]]
    _charged(step, macs * sum(wanted[:2]), macs * sum(wanted[:2]) + gradient.count * wanted[2])
    step.tally.dense_macs += macs * sum(wanted[:2])
    shapes = iter(step.node.shapes)
    return tuple(unbounded(next(shapes)) if asked else None for asked in wanted)


@rule("aten.native_layer_norm_backward.default", "aten.native_group_norm_backward.default")
def of_normalisation(step: Step) -> tuple[Value | None, ...]:
    """Six products an element: the normalised input, its gradient and what goes back through the statistics."""
    x = _tensor(step, "input")
    materialise_all(step)
    _charged(step, 6.0 * x.count, 6.0 * x.count)
    shapes = iter(step.node.shapes)
    return tuple(unbounded(next(shapes)) if asked else None for asked in step["output_mask"])


def _taps_of_pool(step: Step) -> float:
    if "kernel_size" in step._arguments:
        return math.prod(step["kernel_size"]) * (
            1 if len(step["kernel_size"]) == 2 else step["kernel_size"][0]
        )
    inside, outside = step.value("self").shape, step.value("grad_output").shape
    return math.prod(-(a // -b) + 1 for a, b in zip(inside[-2:], outside[-2:], strict=True))


# products and sums an element of the gradient
_SPREAD: dict[str, Callable[[Step], tuple[float, float]]] = {
    "aten.avg_pool2d_backward.default": lambda step: (1, _taps_of_pool(step)),
    "aten._adaptive_avg_pool2d_backward.default": lambda step: (1, _taps_of_pool(step)),
    "aten.max_pool2d_with_indices_backward.default": lambda step: (0, 1),
    "aten.embedding_dense_backward.default": lambda step: (int(step["scale_grad_by_freq"]), 1),
}


@rule(*_SPREAD)
def of_moved_elements(step: Step) -> Value:
    """Each element of the gradient added to where it came from, and divided by how many share it."""
    gradient = _tensor(step, "grad_output")
    products, sums = _SPREAD[step.node.op](step)
    step.tally.kind = "gradient"
    if not products:
        step.tally.lookups += gradient.count
        step.tally.sums += sums * gradient.count
        return unbounded(step.shape)
    return _charged(step, products * gradient.count, sums * gradient.count)
