"""Functions of one real number after a layer on spikes: what each leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from auditing.nets import SPIKES, Case, Net, costs, linear

# six spikes meet six weights
LAYER = costs(additions=6 * 6, dense_macs=6 * 6)


def after(function: Callable[..., Any], **counts: float) -> Case:
    """A layer and the function, hybrid where something multiplies, and free of it otherwise."""
    verdict = "hybrid" if "multiplications" in counts or "functions" in counts else "additive"
    return Case(f"{function.__name__} after a layer", lambda: Net(lambda x, fc: function(fc(x)), fc=linear(6, 6)),
                (6,), verdict, {**LAYER, **counts}, inputs=SPIKES)  # fmt: skip


def squared_relu(x: torch.Tensor) -> torch.Tensor:
    return F.relu(x).square()


def quick_gelu(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(1.702 * x)


def leaky_by_an_eighth(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x > 0, x, x / 8)


def softmax_by_hand(x: torch.Tensor) -> torch.Tensor:
    e = torch.exp(x - x.amax(1, keepdim=True))
    return e / e.sum(1, keepdim=True)


def power_of_two_softmax(x: torch.Tensor) -> torch.Tensor:
    """Powers of two in place of exponentials: shifts."""
    return 2.0 ** (100 * x).clamp(-3, 3).round()


def layer_norm_by_hand(x: torch.Tensor) -> torch.Tensor:
    y = x - x.mean(1, keepdim=True)
    return y / (y.square().mean(1, keepdim=True) + 1e-5).sqrt()


CASES = [
    after(torch.relu, compares=6),
    after(F.relu6, compares=12),
    after(F.hardtanh, compares=12),
    # one comparison and one product with the slope
    after(F.leaky_relu, multiplications=6),
    after(leaky_by_an_eighth, compares=6, ands=6, shifts=6),
    after(torch.sigmoid, functions=6, multiplications=6, sums=6),
    after(torch.tanh, functions=6),
    after(F.gelu, functions=6, multiplications=12, sums=6),
    # the constant in front, a sigmoid and its product
    after(quick_gelu, functions=6, multiplications=6 + 6 + 6, sums=6),
    after(F.silu, functions=6, multiplications=12, sums=6),
    after(F.mish, functions=18, multiplications=12, sums=6),
    after(F.softplus, functions=12, sums=6),
    after(F.elu, functions=6, multiplications=6, sums=6),
    after(F.selu, functions=6, multiplications=6, sums=6),
    after(F.hardswish, multiplications=12, sums=6),
    after(F.hardsigmoid, multiplications=6, sums=6),
    # a division by 1 + |x|
    after(F.softsign, compares=6, sums=6, multiplications=6),
    after(F.tanhshrink, functions=6, sums=6),
    after(F.logsigmoid, functions=12, sums=6),
    after(F.hardshrink, compares=12, ands=6),
    after(torch.sin, functions=6),
    after(torch.reciprocal, multiplications=6),
    after(torch.erf, functions=6),
    after(squared_relu, compares=6, multiplications=6),
    after(torch.abs, compares=6),
    # five comparisons for the largest, a difference each; five sums, a division each
    after(softmax_by_hand, compares=5, sums=6 + 5, functions=6, multiplications=6),
    # seven whole numbers are six thresholds; no exponential, for it is a shift
    after(power_of_two_softmax, compares=12 + 36, shifts=6),
    # the constant of a mean; six squares and the constant of theirs; a root and six divisions
    after(layer_norm_by_hand, sums=5 + 6 + 5 + 1, multiplications=1 + 6 + 1 + 6, functions=1),
    # six squares, a root that is no smaller than an epsilon, six divisions
    after(F.normalize, multiplications=12, functions=1, compares=1, sums=6),
]  # fmt: skip
