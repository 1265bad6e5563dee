"""Functions of real numbers: everything that a spiking network does without.

Counts: a function evaluation (exp, tanh, square root ...) is one in `functions`, and the products and
divisions around it are multiplications.
"""

from __future__ import annotations

import math

import torch

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, exception, materialise, materialise_all
from spikedrive.auditing.rules.products import product
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.trace import evaluate
from spikedrive.auditing.value import Value, of_real

NEURON = "a neuron (ILIF keeps several levels)"
TABLE = "a table of constants"
FOLDS = "BatchNorm in eval mode, which folds"
SHIFT = "a shift by an integer (a power of two)"
ONE = "a constant, where the argument is one"

# name: (function evaluations, multiplications and divisions, sums) an element, bounds, replacement
POINTWISE: dict[str, tuple[int, int, int, float, float, str]] = {
    "aten.sigmoid.default": (1, 1, 1, 0.0, 1.0, "a spike as the gate"),
    "aten.log_sigmoid.default": (2, 0, 1, -math.inf, 0.0, "a spike as the gate"),
    "aten.tanh.default": (1, 0, 0, -1.0, 1.0, NEURON),
    "aten.sinh.default": (1, 0, 0, -math.inf, math.inf, NEURON),
    "aten.cosh.default": (1, 0, 0, 1.0, math.inf, NEURON),
    "aten.asinh.default": (1, 0, 0, -math.inf, math.inf, TABLE),
    "aten.acosh.default": (1, 0, 0, 0.0, math.inf, TABLE),
    "aten.atanh.default": (1, 0, 0, -math.inf, math.inf, TABLE),
    "aten.exp.default": (1, 0, 0, 0.0, math.inf, SHIFT),
    "aten.exp2.default": (1, 0, 0, 0.0, math.inf, SHIFT),
    "aten.expm1.default": (1, 0, 0, -1.0, math.inf, SHIFT),
    "aten.log.default": (1, 0, 0, -math.inf, math.inf, ONE),
    "aten.log2.default": (1, 0, 0, -math.inf, math.inf, ONE),
    "aten.log10.default": (1, 0, 0, -math.inf, math.inf, ONE),
    "aten.log1p.default": (1, 0, 0, -math.inf, math.inf, ONE),
    "aten.sqrt.default": (1, 0, 0, 0.0, math.inf, FOLDS),
    "aten.rsqrt.default": (1, 1, 0, 0.0, math.inf, FOLDS),
    "aten.reciprocal.default": (0, 1, 0, -math.inf, math.inf, "a constant factor, which folds"),
    "aten.sin.default": (1, 0, 0, -1.0, 1.0, TABLE),
    "aten.cos.default": (1, 0, 0, -1.0, 1.0, TABLE),
    "aten.tan.default": (1, 0, 0, -math.inf, math.inf, TABLE),
    "aten.asin.default": (1, 0, 0, -math.pi / 2, math.pi / 2, TABLE),
    "aten.acos.default": (1, 0, 0, 0.0, math.pi, TABLE),
    "aten.atan.default": (1, 0, 0, -math.pi / 2, math.pi / 2, TABLE),
    "aten.erf.default": (1, 0, 0, -1.0, 1.0, NEURON),
    "aten.erfc.default": (1, 0, 0, 0.0, 2.0, NEURON),
    "aten.erfinv.default": (1, 0, 0, -math.inf, math.inf, TABLE),
    "aten.lgamma.default": (1, 0, 0, -math.inf, math.inf, TABLE),
    "aten.gelu.default": (1, 2, 1, -0.2, math.inf, NEURON),
    "aten.silu.default": (1, 2, 1, -0.3, math.inf, NEURON),
    "aten.mish.default": (3, 2, 1, -0.4, math.inf, NEURON),
    "aten.softplus.default": (2, 0, 1, 0.0, math.inf, NEURON),
    "aten.elu.default": (1, 1, 1, -math.inf, math.inf, NEURON),
    "aten.leaky_relu.default": (0, 1, 0, -math.inf, math.inf, NEURON),
    "aten.hardswish.default": (0, 2, 1, -0.4, math.inf, NEURON),
    "aten.hardsigmoid.default": (0, 1, 1, 0.0, 1.0, "a spike as the gate"),
}  # fmt: skip

# functions that never fall, so that bounds go through them; nothing else may tell where they lie
RISING = {
    f"aten.{name}.default"
    for name in ("sigmoid", "tanh", "sinh", "asinh", "atanh", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p",
                 "sqrt", "atan", "erf")
}  # fmt: skip


@rule(*POINTWISE)
def pointwise(step: Step) -> Value:
    """One function of every element."""
    functions, products, sums, low, high, replacement = POINTWISE[step.node.op]
    x = _charge(step, functions * step.count, products * step.count, sums * step.count, replacement)
    if step.node.op not in RISING:
        return _between(step, low, high)
    ends = [evaluate(step.node, dict.fromkeys(step.node.refs, b)) for b in (x.low, x.high)]
    # what lies outside of the domain, as the root of -1, says nothing
    inside = [torch.where(e.isnan(), end, e) for e, end in zip(ends, (low, high), strict=True)]
    return of_real(step.shape, *inside)


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


@rule("aten.atan2.default")
def angle(step: Step) -> Value:
    """The angle of a point: a division and a function an element."""
    materialise(step, step.value("other"), step.name("other"))
    _charge(step, step.count, step.count, 0, TABLE)
    return _between(step, -math.pi, math.pi)


@rule("aten.pow.Tensor_Scalar")
def power(step: Step) -> Value:
    """x to a constant power; whole powers are repeated products."""
    return _raised(step, step.value("self"), step.name("self"), float(step["exponent"]))


def _raised(step: Step, x: Value, name: str, exponent: float) -> Value:
    if exponent == 1:
        return x
    if exponent == 2:
        return product(step, x, x, (name, name))
    x = materialise(step, x, name)
    repeated = exponent == round(exponent) and exponent > 1
    exception(
        step, "power", step.count * (exponent - 1 if repeated else 0), f"{x.domain} to the power {exponent:g}",
        "put a neuron in front: powers of a spike are the spike",
    )  # fmt: skip
    step.tally.functions += 0 if repeated else step.count
    # numbers that are not negative have powers that are not
    never = (repeated and exponent % 2 == 0) or float(x.low.amin()) >= 0
    return _between(step, 0.0 if never else -math.inf, math.inf)


@rule("aten.pow.Scalar")
def exponential(step: Step) -> Value:
    """A constant to the power x: a shift where it is two and x an integer, else a function."""
    base, x = float(step["self"]), step.value("exponent")
    plain = x.base == "integer" and not (x.has_gain or x.has_offset)
    x = materialise(step, x, step.name("exponent"))
    if base == 2 and plain:
        step.tally.kind, step.tally.shifts = "shift", step.tally.shifts + step.count
    else:
        exception(step, "power", 0, f"{base:g} to the power of {x.domain} values", SHIFT)
        step.tally.functions += step.count
    if base <= 0:
        return _between(step, -math.inf, math.inf)
    ends = base**x.low, base**x.high
    return of_real(step.shape, torch.minimum(*ends), torch.maximum(*ends))


@rule("aten.pow.Tensor_Tensor")
def power_of_two_values(step: Step) -> Value:
    """x to the power y: exp(y log x)."""
    x, y = step.value("self"), step.value("exponent")
    if y.base == "constant" and spread.is_uniform(y.literal):
        return _raised(step, x.grown(step.shape), step.name("self"), float(y.literal.flatten()[0]))
    x, y = (materialise(step, v, step.name(key)) for v, key in ((x, "self"), (y, "exponent")))
    exception(step, "power", step.count, f"{x.domain} to the power of {y.domain} values", SHIFT)
    step.tally.functions += 2 * step.count
    return _between(step, 0.0 if float(x.low.amin()) >= 0 else -math.inf, math.inf)


@rule("aten.softmax.int", "aten._softmax.default", "aten._safe_softmax.default", "aten.log_softmax.int",
      "aten._log_softmax.default")  # fmt: skip
def softmax(step: Step) -> Value:
    """An exponential, a sum and a division an element."""
    _charge(step, step.count, step.count, 2 * step.count, "spike-driven attention, which needs no softmax")
    return _between(step, -math.inf if "log" in step.node.op else 0.0, 0.0 if "log" in step.node.op else 1.0)


@rule(
    "aten.layer_norm.default",
    "aten.group_norm.default",
    "aten.instance_norm.default",
    "aten.rms_norm.default",
)
def normalised(step: Step) -> Value:
    """Statistics of each sample: a square, a scale and a gain an element, one root a group."""
    op, shape = step.node.op, step.shape
    if "layer" in op or "rms" in op:
        groups = step.count // math.prod(step["normalized_shape"])
    elif "group" in op:
        groups = shape[0] * int(step.get("num_groups", step.get("group")))
    else:
        groups = shape[0] * shape[1]
    materialise_all(step)
    _charge(step, groups, 3 * step.count + groups, 3 * step.count, "BatchNorm, which folds in eval mode")
    return _between(step, -math.inf, math.inf)


@rule("aten.native_layer_norm.default", "aten.native_group_norm.default")
def normalised_with_statistics(step: Step) -> tuple[Value, Value, Value]:
    """The same, with the mean and the inverse deviation of each group."""
    first = normalised(step)
    others = [spread.constant(math.inf, len(shape)) for shape in step.node.shapes[1:]]
    mean, inverse = (of_real(shape, -s, s) for shape, s in zip(step.node.shapes[1:], others, strict=True))
    return first, mean, inverse


@rule("aten.scaled_dot_product_attention.default")
def attention(step: Step) -> Value:
    """Softmax attention on real values: two matrix products and a softmax."""
    materialise_all(step)
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
