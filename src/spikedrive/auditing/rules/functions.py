"""Functions of real numbers: everything that a spiking network does without.

Counts: a function evaluation (exp, tanh, square root ...) is one in `functions`, and the products and
divisions around it are multiplications.
"""

from __future__ import annotations

import math

import torch

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, exception, materialise
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.value import Value, of_real

NEURON = "a neuron (ILIF keeps several levels)"

# name: (function evaluations, multiplications and divisions, sums) an element, bounds, replacement
POINTWISE: dict[str, tuple[int, int, int, float, float, str]] = {
    "aten.sigmoid.default": (1, 1, 1, 0.0, 1.0, "a spike as the gate"),
    "aten.tanh.default": (1, 0, 0, -1.0, 1.0, NEURON),
    "aten.exp.default": (1, 0, 0, 0.0, math.inf, "a shift by an integer (a power of two)"),
    "aten.log.default": (1, 0, 0, -math.inf, math.inf, "a constant, where the argument is one"),
    "aten.sqrt.default": (1, 0, 0, 0.0, math.inf, "BatchNorm in eval mode, which folds"),
    "aten.rsqrt.default": (1, 1, 0, 0.0, math.inf, "BatchNorm in eval mode, which folds"),
    "aten.reciprocal.default": (0, 1, 0, -math.inf, math.inf, "a constant factor, which folds"),
    "aten.sin.default": (1, 0, 0, -1.0, 1.0, "a table of constants"),
    "aten.cos.default": (1, 0, 0, -1.0, 1.0, "a table of constants"),
    "aten.gelu.default": (1, 2, 1, -0.2, math.inf, NEURON),
    "aten.silu.default": (1, 2, 1, -0.3, math.inf, NEURON),
    "aten.mish.default": (3, 2, 1, -0.4, math.inf, NEURON),
    "aten.softplus.default": (2, 0, 1, 0.0, math.inf, NEURON),
    "aten.elu.default": (1, 1, 1, -math.inf, math.inf, NEURON),
    "aten.leaky_relu.default": (0, 1, 0, -math.inf, math.inf, NEURON),
    "aten.hardswish.default": (0, 2, 1, -0.4, math.inf, NEURON),
    "aten.hardsigmoid.default": (0, 1, 1, 0.0, 1.0, "a spike as the gate"),
}  # fmt: skip


@rule(*POINTWISE)
def pointwise(step: Step) -> Value:
    """One function of every element."""
    functions, products, sums, low, high, replacement = POINTWISE[step.node.op]
    _charge(step, functions * step.count, products * step.count, sums * step.count, replacement)
    return _between(step, low, high)


def _charge(step: Step, functions: float, products: float, sums: float, replacement: str) -> Value:
    key = "self" if "self" in step._arguments else "input"
    x = materialise(step, step.value(key), step.name(key))
    name = step.node.op.split(".")[1]
    exception(step, name, products, f"{name} of {x.domain} values", replacement)
    step.tally.functions += functions
    step.tally.sums += sums
    step.tally.domain = x.domain
    return x


def _between(step: Step, low: float, high: float) -> Value:
    rank = len(step.shape)
    return of_real(step.shape, spread.constant(low, rank), spread.constant(high, rank))


@rule("aten.softmax.int", "aten._softmax.default", "aten.log_softmax.int", "aten._log_softmax.default")
def softmax(step: Step) -> Value:
    """An exponential, a sum and a division an element."""
    _charge(step, step.count, step.count, 2 * step.count, "spike-driven attention, which needs no softmax")
    return _between(step, -math.inf if "log" in step.node.op else 0.0, 0.0 if "log" in step.node.op else 1.0)


@rule("aten.layer_norm.default", "aten.native_layer_norm.default", "aten.group_norm.default",
      "aten.native_group_norm.default", "aten.instance_norm.default", "aten.rms_norm.default")  # fmt: skip
def normalised(step: Step) -> Value:
    """Statistics of each sample: a square, a scale and a gain an element, one root a group."""
    op, shape = step.node.op, step.shape
    if "layer" in op or "rms" in op:
        groups = step.count // math.prod(step["normalized_shape"])
    elif "group" in op:
        groups = shape[0] * int(step.get("num_groups", step.get("group")))
    else:
        groups = shape[0] * shape[1]
    _charge(step, groups, 3 * step.count + groups, 3 * step.count, "BatchNorm, which folds in eval mode")
    return _between(step, -math.inf, math.inf)


@rule("aten.scaled_dot_product_attention.default")
def attention(step: Step) -> Value:
    """Softmax attention on real values: two matrix products and a softmax."""
    query, key = step.value("query"), step.value("key")
    scores = float(torch.Size(query.shape[:-1]).numel()) * key.shape[-2]
    products = scores * (query.shape[-1] + step.shape[-1] + 2)
    step.tally.dense_macs += scores * (query.shape[-1] + step.shape[-1])
    exception(
        step, "softmax attention", products, f"attention on {query.domain} values",
        "spike-driven attention (blocks.SpikeAttention)",
    )  # fmt: skip
    step.tally.functions += scores
    return _between(step, -math.inf, math.inf)
