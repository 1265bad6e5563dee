"""Fourier transforms and the complex numbers that they make.

Nothing is known of a complex number but that it is no integer: its parts are unbounded real numbers.
"""

from __future__ import annotations

import math
from typing import Any

from spikedrive.auditing.folding import Step, exception, materialise_all
from spikedrive.auditing.rules.registry import rule
from spikedrive.auditing.value import unbounded

REAL = "a convolution, or a Hadamard transform, whose factors are signs"


def _results(step: Step) -> Any:
    made = tuple(unbounded(shape) for shape in step.node.shapes)
    several = step.node.function is not None and _is_several(step)
    return made if several else made[0]


def _is_several(step: Step) -> bool:
    returns = step.node.function._schema.returns  # type: ignore[union-attr]
    return len(returns) > 1 or "List" in str(returns[0].type)


@rule("aten._fft_r2c.default", "aten._fft_c2r.default", "aten._fft_c2c.default", complex_numbers=True)
def transformed(step: Step) -> Any:
    """n (p - 1) complex products for each prime p of the length n, of four products and two sums each."""
    materialise_all(step)
    whole = [max(a, b) for a, b in zip(step.value("self").shape, step.shape, strict=True)]
    products = 0
    for axis in step["dim"]:
        products += math.prod(whole) * sum(p - 1 for p in _primes(whole[axis]))
    exception(step, "Fourier transform", 4.0 * products, "products with the roots of one", REAL)
    step.tally.sums += 4.0 * products
    return _results(step)


def _primes(n: int) -> list[int]:
    """The prime factors of n.

    >>> _primes(12)
    [2, 2, 3]
    """
    found, p = [], 2
    while n > 1:
        while n % p == 0:
            found, n = [*found, p], n // p
        p += 1
    return found


@rule("aten.mul.Tensor", "aten.mul.Scalar", complex_numbers=True)
def multiplied(step: Step) -> Any:
    """Four products and two sums."""
    materialise_all(step)
    exception(step, "complex product", 4.0 * step.count, "a product of complex numbers", REAL)
    step.tally.sums += 2 * step.count
    return _results(step)


@rule("aten.mm.default", "aten.bmm.default", "aten.matmul.default", complex_numbers=True)
def matrices_multiplied(step: Step) -> Any:
    """Four products and four sums for each pair."""
    materialise_all(step)
    pairs = float(step.count) * step.value("self").shape[-1]
    step.tally.dense_macs += 4 * pairs
    exception(step, "complex product", 4.0 * pairs, "a product of complex matrices", REAL)
    step.tally.sums += 4 * pairs
    return _results(step)


@rule("aten.add.Tensor", "aten.sub.Tensor", complex_numbers=True)
def added(step: Step) -> Any:
    """Two sums; a factor of the second operand is two products."""
    materialise_all(step)
    step.tally.kind, step.tally.sums = "sum", step.tally.sums + 2 * step.count
    if step.get("alpha", 1) != 1:
        exception(step, "complex product", 2.0 * step.count, "a product of complex numbers", REAL)
    return _results(step)


@rule("aten.sum.dim_IntList", "aten.sum.default", "aten.mean.dim", "aten.mean.default", complex_numbers=True)
def summed(step: Step) -> Any:
    """Two sums an element, and two products a mean."""
    materialise_all(step)
    step.tally.kind, step.tally.sums = "sum", step.tally.sums + 2 * step.value("self").count
    if "mean" in step.node.op:
        exception(step, "complex product", 2.0 * step.count, "a mean of complex numbers", REAL)
    return _results(step)


@rule("aten.abs.default", "aten.angle.default", complex_numbers=True)
def sized(step: Step) -> Any:
    """Two squares and a root, or a division and an angle."""
    materialise_all(step)
    exception(step, "complex size", 2.0 * step.count, "the size or the angle of complex numbers", REAL)
    step.tally.functions += step.count
    step.tally.sums += step.count
    return _results(step)


@rule(
    "aten.view_as_real.default", "aten.view_as_complex.default", "aten.real.default", "aten.imag.default",
    "aten.conj.default", "aten._conj.default", "aten._conj_physical.default", "aten.resolve_conj.default",
    "aten.complex.default", "aten.neg.default", "aten.view.default", "aten.reshape.default",
    "aten._unsafe_view.default", "aten.flatten.using_ints", "aten.unflatten.int", "aten.squeeze.dims",
    "aten.squeeze.dim", "aten.squeeze.default", "aten.unsqueeze.default", "aten.clone.default",
    "aten.alias.default", "aten.contiguous.default", "aten.detach.default", "aten.permute.default",
    "aten.transpose.int", "aten.expand.default", "aten.select.int", "aten.slice.Tensor", "aten.narrow.default",
    "aten.flip.default", "aten.roll.default", "aten.cat.default", "aten.stack.default",
    "aten.constant_pad_nd.default", "aten.select_scatter.default", "aten.slice_scatter.default",
    "aten.copy.default", "aten.zeros.default", "aten.zeros_like.default", "aten.new_zeros.default",
    "aten.full.default", "aten._to_copy.default", "aten.to.dtype", "aten.split.Tensor",
    "aten.split_with_sizes.default", "aten.chunk.default", "aten.unbind.int", complex_numbers=True,
)  # fmt: skip
def moved(step: Step) -> Any:
    """Nothing is computed, but for signs."""
    materialise_all(step)
    return _results(step)
