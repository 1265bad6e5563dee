"""PyTorch's core list of operations, a few to a network, with what each costs by hand.

Each entry is (name, function, shapes of the inputs, expected). `expected` holds the per-sample counts of every
operation that is not free, by its name without `aten.`. The inputs are unknown numbers, or of the `domain` where it is
`declared`; bounds are tried with both. A `dynamic` one is exported for any batch, which takes longer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from spikedrive.ops.domain import Binary, Domain, Integer

aten: Any = torch.ops.aten
Counts = dict[str, float]


@dataclass(frozen=True, eq=False)
class Family:
    """Operations of one kind on the same inputs."""

    name: str
    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    costs: dict[str, Counts]
    dynamic: bool = False
    domain: Domain = field(default_factory=Binary)
    declared: bool = False


def functions(n: float = 0, *, multiplications: float = 0, **others: float) -> Counts:
    """So many function evaluations, and more."""
    return {"functions": n, "multiplications": multiplications, **others}


def multiplications(n: float, **others: float) -> Counts:
    return {"multiplications": n, **others}


def compares(n: float, **others: float) -> Counts:
    return {"compares": n, **others}


def sums(n: float, **others: float) -> Counts:
    return {"sums": n, **others}


def lookups(n: float, **others: float) -> Counts:
    return {"lookups": n, **others}


# four numbers a sample
N = 4
PLAIN = ("acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "erf", "exp", "expm1", "log", "log10",
         "log1p", "log2", "sin", "sinh", "sqrt", "tan", "tanh")  # fmt: skip
ONE_COMPARISON = ("relu", "abs", "isnan", "isinf", "logical_not", "round", "floor", "ceil", "trunc")
OTHERS = ("sigmoid", "rsqrt", "reciprocal", "gelu", "elu", "leaky_relu", "hardtanh", "sign", "neg")


def of_one(x: Tensor) -> tuple[Tensor, ...]:
    return (
        *(getattr(aten, name).default(x) for name in (*PLAIN, *ONE_COMPARISON, *OTHERS)),
        aten._softmax.default(x, -1, False), aten._log_softmax.default(x, -1, False), aten.clamp.default(x, -1, 1),
        aten.pow.Tensor_Scalar(x, 3.0), aten.pow.Scalar(3.0, x),
        # a factor below zero, which no readout leaves out
        aten.mul.Scalar(x, -0.3), aten.div.Scalar(x, -3.0), aten.add.Scalar(x, 0.5), aten.sub.Scalar(x, 0.5),
        aten.div.Scalar_mode(x, -3.0, rounding_mode="floor"), aten.fmod.Scalar(x, 0.7), aten.remainder.Scalar(x, 0.7),
        *(getattr(aten, name).Scalar(x, 0.5) for name in ("eq", "ne", "ge", "gt", "le", "lt")),
    )  # fmt: skip


OF_ONE = {
    **{f"{name}.default": functions(N) for name in PLAIN},
    **{f"{name}.default": compares(N) for name in ONE_COMPARISON},
    **{f"{name}.Scalar": compares(N) for name in ("eq", "ne", "ge", "gt", "le", "lt")},
    # one over one and an exponential
    "sigmoid.default": functions(N, multiplications=N, sums=N),
    "rsqrt.default": functions(N, multiplications=N), "reciprocal.default": multiplications(N),
    # x erf(x) / 2, and x / 2
    "gelu.default": functions(N, multiplications=2 * N, sums=N),
    "elu.default": functions(N, multiplications=N, sums=N), "leaky_relu.default": multiplications(N),
    "hardtanh.default": compares(2 * N), "sign.default": compares(2 * N), "clamp.default": compares(2 * N),
    "_softmax.default": functions(N, multiplications=N, sums=2 * N),
    "_log_softmax.default": functions(N, multiplications=N, sums=2 * N),
    "pow.Tensor_Scalar": multiplications(2 * N), "pow.Scalar": functions(N),
    "mul.Scalar": multiplications(N), "div.Scalar": multiplications(N),
    "add.Scalar": sums(N), "sub.Scalar": sums(N),
    "div.Scalar_mode": multiplications(N, compares=N),
    # x - y floor(x / y)
    "fmod.Scalar": multiplications(2 * N, sums=N), "remainder.Scalar": multiplications(2 * N, sums=N),
}  # fmt: skip


def of_two(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    a, b = aten.gt.Tensor(x, y), aten.lt.Tensor(x, y)
    bits = [getattr(aten, f"logical_{name}").default(a, b) for name in ("and", "or", "xor")]
    bits += [getattr(aten, f"bitwise_{name}").Tensor(a, b) for name in ("and", "or", "xor")]
    bits += [getattr(aten, f"bitwise_{name}").Scalar(a, True) for name in ("and", "or", "xor")]
    return (
        *bits, aten.bitwise_not.default(a), aten.any.default(a), aten.any.dim(a, 1), aten.any.dims(a, [1]),
        *(getattr(aten, name).Tensor(x, y) for name in ("eq", "ne", "ge", "le", "add", "sub", "mul", "div")),
        *(getattr(aten, name).Tensor(x, y) for name in ("fmod", "remainder")),
        aten.div.Tensor_mode(x, y, rounding_mode="trunc"), aten.pow.Tensor_Tensor(x, y), aten.atan2.default(x, y),
        aten.maximum.default(x, y), aten.minimum.default(x, y), aten.clamp.Tensor(x, y), aten.where.self(a, x, y),
        aten.copy.default(x, y), aten.masked_scatter.default(x, a, y),
    )  # fmt: skip


OF_TWO = {
    **{f"{name}.Tensor": compares(N) for name in ("eq", "ne", "ge", "gt", "le", "lt")},
    **{f"logical_{name}.default": {"ands": N} for name in ("and", "or", "xor")},
    **{f"bitwise_{name}.Tensor": {"ands": N} for name in ("and", "or", "xor")},
    **{f"bitwise_{name}.Scalar": {"ands": N} for name in ("and", "or", "xor")},
    "bitwise_not.default": compares(N), "any.default": {"ands": N - 1},
    "any.dim": {"ands": N - 1}, "any.dims": {"ands": N - 1},
    "add.Tensor": sums(N), "sub.Tensor": sums(N), "mul.Tensor": multiplications(N), "div.Tensor": multiplications(N),
    "fmod.Tensor": multiplications(2 * N, sums=N), "remainder.Tensor": multiplications(2 * N, sums=N),
    "div.Tensor_mode": multiplications(N, compares=N),
    # exp(y log x)
    "pow.Tensor_Tensor": functions(2 * N, multiplications=N), "atan2.default": functions(N, multiplications=N),
    "maximum.default": compares(N), "minimum.default": compares(N), "clamp.Tensor": compares(N),
    "where.self": {"ands": N}, "masked_scatter.default": lookups(N, ands=N),
}  # fmt: skip


def over_axes(x: Tensor) -> tuple[Tensor, ...]:
    return (
        aten.sum.dim_IntList(x, [2]), aten.mean.dim(x, [2]), aten.mean.default(x), aten.amax.default(x, [2]),
        aten.amin.default(x, [2]), aten.argmax.default(x, 2), aten.argmin.default(x, 1), *aten.max.dim(x, 2),
        *aten.min.dim(x, 1), *aten.sort.default(x), *aten.topk.default(x, 2), aten.cumsum.default(x, 2),
        aten.prod.default(x), aten.prod.dim_int(x, 2), aten.var.dim(x, [2]), aten.var.correction(x, [2]),
    )  # fmt: skip


# three rows of four
OVER_AXES = {
    "sum.dim_IntList": sums(3 * 3), "mean.dim": sums(3 * 3), "mean.default": sums(11), "amax.default": compares(3 * 3),
    "amin.default": compares(3 * 3), "argmax.default": compares(3 * 3), "argmin.default": compares(4 * 2),
    "max.dim": compares(3 * 3), "min.dim": compares(4 * 2),
    # a merge of four takes two rounds, the two largest two passes
    "sort.default": compares(12 * 2), "topk.default": compares(12 * 2),
    "cumsum.default": sums(3 * 3), "prod.default": multiplications(11), "prod.dim_int": multiplications(3 * 3),
    # a square each; of each row the mean and the mean of squares are sums times a constant
    "var.dim": multiplications(12 + 2 * 3, sums=3 * 12), "var.correction": multiplications(12 + 2 * 3, sums=3 * 12),
}  # fmt: skip


def views(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    volume, places = x.unsqueeze(1), torch.tensor([2, 0])
    return (
        aten.view.default(x, [-1, 32]), aten.permute.default(x, [0, 2, 3, 1]), aten.expand.default(volume, [-1, 3, -1,
        -1, -1]), aten.clone.default(x), aten.alias.default(x), aten.select.int(x, 1, 0), aten.slice.Tensor(x, 2, 1),
        aten.squeeze.dim(volume, 1), aten.squeeze.dims(volume, [1]), aten.flip.default(x, [2]),
        aten.diagonal.default(x, 0, 2, 3), aten.repeat.default(x, [1, 1, 2, 1]),
        *aten.split_with_sizes.default(x, [1, 3], 2), aten.cat.default([x, x], 1),
        aten.index_select.default(x, 2, places), aten.index.Tensor(x, [None, None, places]),
        aten.constant_pad_nd.default(x, [1, 1], 0.5), aten.reflection_pad1d.default(x[:, 0], [1, 1]),
        aten.reflection_pad2d.default(x, [1, 1, 0, 1]), aten.reflection_pad3d.default(volume, [1, 1, 1, 1, 0, 1]),
        aten.replication_pad2d.default(x, [1, 1, 0, 1]), aten.replication_pad3d.default(volume, [1, 1, 1, 1, 0, 1]),
        aten.upsample_nearest2d.vec(x, None, [2.0, 2.0]), aten.select_scatter.default(x, y, 1, 0),
        aten.slice_scatter.default(x, volume[:, :, 0], 1, 0, 1), aten._to_copy.default(x, dtype=torch.float64),
        *aten.native_dropout.default(x, 0.5, False), aten.as_strided.default(x, [2, 3], [3, 1]),
    )  # fmt: skip


def made(x: Tensor) -> tuple[Tensor, ...]:
    n = x.shape[0]
    return (
        aten.full.default([n, N], 0.3), aten.full_like.default(x, 0.3), aten.fill.Scalar(x, 0.3),
        aten.scalar_tensor.default(n), aten.arange.start_step(0, n, 1), aten.empty.memory_format([n, N]),
        aten.empty_strided.default([n, N], [N, 1]), aten.rand.default([n, N]), aten.randn.default([n, N]),
        aten.randperm.default(N) + 0 * n,
    )  # fmt: skip


MADE = {"rand.default": lookups(N), "randn.default": lookups(N), "randperm.default": lookups(N)}


def indexed(x: Tensor, y: Tensor, index: Tensor) -> tuple[Tensor, ...]:
    index = index.clamp(0, 3).long()
    flat, places = x.flatten(), index.flatten()
    table = torch.arange(12.0).reshape(4, 3)
    return (
        aten.gather.default(x, 1, index), aten.index.Tensor(flat, [places]),
        aten.index_put.default(flat, [places], y.flatten()), aten.index_put.default(flat, [places], flat, True),
        aten.scatter.value(x, 1, index, 0.5), aten.scatter.src(x, 1, index, y),
        aten.scatter_add.default(x, 1, index, y),
        aten.scatter_reduce.two(x, 1, index, y, "prod"), aten.embedding.default(table, index),
        aten._embedding_bag.default(table, places, torch.tensor([0]))[0],
    )  # fmt: skip


INDEXED = {
    # 0 to 3: three comparisons find the whole number
    "clamp.default": compares(2 * N), "_to_copy.default": compares(3 * N),
    "gather.default": lookups(N), "index.Tensor": lookups(N),
    # once written and once added
    "index_put.default": lookups(2 * N, sums=N),
    "scatter.value": lookups(N), "scatter.src": lookups(N), "scatter_add.default": lookups(N, sums=N),
    "scatter_reduce.two": lookups(N, multiplications=N), "embedding.default": lookups(3 * N),
    "_embedding_bag.default": lookups(3 * N, sums=3 * N),
}  # fmt: skip

WEIGHT = torch.arange(24.0).reshape(3, 2, 2, 2) / 7 + 0.3


def maps(x: Tensor, grid: Tensor) -> tuple[Tensor, ...]:
    volume = x.unsqueeze(1)
    pair = [1, 1]
    return (
        aten.convolution.default(x, WEIGHT, None, pair, [0, 0], pair, False, [0, 0], 1),
        aten.avg_pool1d.default(x[:, 0], [2]), aten.adaptive_avg_pool1d.default(x[:, 0], [2]),
        aten.avg_pool2d.default(x, [2, 2]), aten._adaptive_avg_pool2d.default(x, [3, 3]),
        *aten.max_pool2d_with_indices.default(x, [2, 2]), aten.avg_pool3d.default(volume, [2, 2, 2]),
        aten._adaptive_avg_pool3d.default(volume, [1, 2, 2]), *aten.max_pool3d_with_indices.default(volume, [2, 2, 2]),
        aten.upsample_bilinear2d.vec(x, [3, 3], False, None), aten.grid_sampler_2d.default(x, grid, 0, 0, False),
        aten.col2im.default(x.flatten(1).reshape(-1, 4, 8), [3, 5], [2, 2], pair, [0, 0], pair),
    )  # fmt: skip


# two maps of 4 by 4; where windows of one pooling overlap, or differ, no constant is the same for all
MAPS = {
    "convolution.default": multiplications(3 * 9 * 8, dense_macs=3 * 9 * 8),
    "avg_pool1d.default": sums(8), "adaptive_avg_pool1d.default": sums(8),
    "avg_pool2d.default": sums(8 * 3), "_adaptive_avg_pool2d.default": sums(2 * 9 * 3),
    "max_pool2d_with_indices.default": compares(8 * 3), "avg_pool3d.default": sums(4 * 7),
    "_adaptive_avg_pool3d.default": sums(4 * 7), "max_pool3d_with_indices.default": compares(4 * 7),
    # two neighbours an axis, but for the middle one of three, which lies between two as well
    "upsample_bilinear2d.vec": multiplications(2 * 6 * 6, sums=2 * (36 - 9)),
    # two axes, each with a place (one product) and two weights (two); their four products, and four with the map
    "grid_sampler_2d.default": multiplications(9 * 2 * 3 + 9 * 4 + 2 * 9 * 4, sums=2 * 9 * 3, lookups=2 * 9 * 4),
    "col2im.default": sums(32),
}  # fmt: skip


def matrices(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    weight = torch.arange(10.0).reshape(5, 2) / 3 + 0.1
    rows = x.flatten(0, 1)
    return (
        aten.mm.default(rows, weight), aten.addmm.default(torch.ones(2), rows, weight, beta=0.5, alpha=2),
        aten.bmm.default(x, y.transpose(1, 2)), aten._cdist_forward.default(x, y, 2.0, None),
        aten._pdist_forward.default(x[0], 2.0),
        aten._fft_c2r.default(aten._fft_r2c.default(x, [2], 0, True), [2], 2, 5),
    )  # fmt: skip


# three rows of five
MATRICES = {
    "mm.default": multiplications(3 * 5 * 2, dense_macs=30),
    "addmm.default": multiplications(3 * 5 * 2, dense_macs=30, sums=3 * 2),
    "bmm.default": multiplications(3 * 3 * 5, dense_macs=45),
    "_cdist_forward.default": functions(9, multiplications=9 * 5, sums=2 * 9 * 5),
    "_pdist_forward.default": functions(3, multiplications=3 * 5, sums=2 * 3 * 5),
    # five is prime: every output meets every input, but for its first, four real products and sums each
    "_fft_r2c.default": multiplications(3 * 5 * 4 * 4, sums=3 * 5 * 4 * 4),
    "_fft_c2r.default": multiplications(3 * 5 * 4 * 4, sums=3 * 5 * 4 * 4),
}  # fmt: skip


def normalised(x: Tensor) -> tuple[Tensor, ...]:
    # the statistics that training updates are no constants afterwards
    channels, updated = torch.tensor([0.7, 1.3]), torch.tensor([0.7, 1.3])
    return (
        *aten.native_layer_norm.default(x, [4], None, None, 1e-5),
        *aten.native_group_norm.default(x, None, None, x.shape[0], 2, 4, 1, 1e-5),
        *aten._native_batch_norm_legit.no_stats(x, None, None, True, 0.1, 1e-5),
        aten._native_batch_norm_legit.default(x, None, None, updated, updated, True, 0.1, 1e-5)[0],
        aten._native_batch_norm_legit_no_training.default(x, None, None, channels, channels, 0.1, 1e-5)[0],
    )  # fmt: skip


# two rows of four: three products an element, an inverse root and its mean a group, which both rows may be
NORMALISED = {
    "native_layer_norm.default": functions(2, multiplications=3 * 8 + 2, sums=3 * 8),
    "native_group_norm.default": functions(1, multiplications=3 * 8 + 1, sums=3 * 8),
    "_native_batch_norm_legit.no_stats": functions(2, multiplications=3 * 8, sums=2 * 8),
    # constants of a channel, which fold into nothing here: the output takes them
    "batch_norm.default": multiplications(8), "alias.default": sums(8),
    "_native_batch_norm_legit_functional.default": functions(2, multiplications=3 * 8, sums=2 * 8),
}  # fmt: skip


def gradients(x: Tensor, g: Tensor) -> tuple[Tensor, ...]:
    pair, mask = [1, 1], [True, True, True]
    rows, index = g.flatten(1), torch.zeros(1, dtype=torch.long)
    ones = torch.ones_like(rows[:, :1])
    pooled, places = aten.max_pool2d_with_indices.default(x, [2, 2])
    return (
        *aten.convolution_backward.default(
            g[:, :, :3, :3], x, WEIGHT[:2], [2], pair, [0, 0], pair, False, [0, 0], 1, mask
        ),
        aten.avg_pool2d_backward.default(pooled, x, [2, 2], [2, 2], [0, 0], False, True, None),
        aten._adaptive_avg_pool2d_backward.default(pooled, x),
        aten.max_pool2d_with_indices_backward.default(pooled, x, [2, 2], [2, 2], [0, 0], [1, 1], False, places),
        aten.embedding_dense_backward.default(rows, index.expand(x.shape[0]), 3, -1, False),
        *aten.native_layer_norm_backward.default(rows, rows, [32], ones, ones, rows[0], rows[0], mask),
        aten.native_group_norm_backward.default(g, g, ones, ones, None, 1, 2, 16, 1, [True, False, False])[0],
    )  # fmt: skip


GRADIENTS = {
    "max_pool2d_with_indices.default": compares(8 * 3),
    # for the input and for the weight
    "convolution_backward.default": multiplications(
        2 * 2 * 9 * 8, dense_macs=2 * 2 * 9 * 8, sums=2 * 2 * 9 * 8 + 2 * 9
    ),
    "avg_pool2d_backward.default": multiplications(8, sums=8 * 4),
    "_adaptive_avg_pool2d_backward.default": multiplications(8, sums=8 * 9),
    "max_pool2d_with_indices_backward.default": lookups(8, sums=8),
    "embedding_dense_backward.default": lookups(32, sums=32),
    "native_layer_norm_backward.default": multiplications(6 * 32, sums=6 * 32),
    "native_group_norm_backward.default": multiplications(6 * 32, sums=6 * 32),
}  # fmt: skip


def of_integers(n: Tensor) -> tuple[Tensor, ...]:
    whole = n.long()
    return (
        # a limit between two integers, and a number that is none of them
        n.clamp(0.5, 2.5), torch.where(n > 2, n, 0.5), torch.where(n > 2, n, 7.0),
        n.bool().float(), (whole > 2).long() + 1, ~whole, whole << 1, whole & 1,
        n // 2, whole % 4, n % 3, n.sort(1)[0], n.cumsum(1), n.prod(1), n.bool().float().prod(1), n.amax(1),
        n.flatten()[whole[:, 0].clamp(0, 3)], torch.zeros_like(n).scatter_add(1, whole.clamp(0, 3), n),
        torch.pow(2.0, n), torch.bucketize(n, torch.tensor([0.5, 1.5])), n.median(1)[0], n * n.bool(),
    )  # fmt: skip


# of four integers 0..4
INTEGERS: dict[str, Counts] = {
    "clamp.default": compares(2 * N + 2 + 2 * N), "gt.Scalar": compares(3 * N), "where.ScalarOther": {"ands": 2 * N},
    # to truth values, three times
    "_to_copy.default": compares(3 * N),
    # the lowest of three bits
    "bitwise_and.Scalar": {"ands": N},
    # two levels above the lowest; a mask by four, a division by three
    "floor_divide.default": compares(2 * N), "remainder.Scalar": multiplications(2 * N, sums=N, ands=N),
    "sort.default": compares(2 * N), "median.dim": compares(2 * N), "amax.default": compares(N - 1),
    "cumsum.default": sums(N - 1), "prod.dim_int": multiplications(N - 1, ands=N - 1),
    # a unit an addition
    "index.Tensor": lookups(1), "scatter_add.default": lookups(N, additions=4 * N),
    "pow.Scalar": {"shifts": N}, "bucketize.Tensor": compares(2 * N), "mul.Tensor": {"ands": N},
}  # fmt: skip

FAMILIES = [
    Family("functions of one number", of_one, ((N,),), OF_ONE),
    Family("operations on two numbers", of_two, ((N,), (N,)), OF_TWO),
    Family("sums and orders over axes", over_axes, ((3, 4),), OVER_AXES),
    Family("views", views, ((2, 4, 4), (4, 4)), {}),
    Family("made of nothing", made, ((N,),), MADE, dynamic=True),
    Family("indices", indexed, ((N,), (N,), (N,)), INDEXED),
    Family("maps", maps, ((2, 4, 4), (3, 3, 2)), MAPS),
    Family("matrices", matrices, ((3, 5), (3, 5)), MATRICES),
    Family("normalisations", normalised, ((2, 4),), NORMALISED),
    Family("gradients", gradients, ((2, 4, 4), (2, 4, 4)), GRADIENTS),
    Family("integers", of_integers, ((N,),), INTEGERS, domain=Integer(4), declared=True),
]
