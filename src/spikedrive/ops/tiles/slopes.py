"""The surrogates of `spikedrive.ops.surrogate` as Triton functions of u = h - threshold and a constant alpha.

Constants meet u as plain numbers, never as tensors: Triton then takes them in u's precision, fp64 included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import triton
import triton.language as tl

SLOPES: dict[str, Any] = {}
"""The Triton function of each surrogate, by the name that `surrogate.GRADIENTS` gives it."""


def _register(name: str) -> Any:
    return lambda function: SLOPES.setdefault(name, function)


@_register("sigmoid")
@triton.jit
def _sigmoid(u, alpha: tl.constexpr):
    p = 1 / (1 + tl.exp(-alpha * u))
    return alpha * p * (1 - p)


@_register("atan")
@triton.jit
def _atan(u, alpha: tl.constexpr):
    z = 3.141592653589793 / 2 * alpha * u
    return alpha / 2 / (1 + z * z)


@_register("rectangular")
@triton.jit
def _rectangular(u, alpha: tl.constexpr):
    return (tl.abs(u) < alpha / 2).to(u.dtype) / alpha


@_register("rectangular_closed")
@triton.jit
def _rectangular_closed(u, alpha: tl.constexpr):
    return (tl.abs(u) <= alpha / 2).to(u.dtype) / alpha


@_register("triangle")
@triton.jit
def _triangle(u, alpha: tl.constexpr):
    return tl.maximum(alpha - tl.abs(u), 0.0) / (alpha * alpha)


@_register("exponential")
@triton.jit
def _exponential(u, alpha: tl.constexpr):
    return alpha / 2 * tl.exp(-alpha * tl.abs(u))


@_register("soft_sign")
@triton.jit
def _soft_sign(u, alpha: tl.constexpr):
    z = 1 / alpha + tl.abs(u)
    return 1 / (2 * alpha * z * z)


@_register("super_spike")
@triton.jit
def _super_spike(u, alpha: tl.constexpr):
    z = 1 + tl.abs(u)
    return alpha / (z * z)


@_register("fast_sigmoid")
@triton.jit
def _fast_sigmoid(u, alpha: tl.constexpr):
    z = 1 + alpha * tl.abs(u)
    return 1 / (z * z)


@_register("sparse_fast_sigmoid")
@triton.jit
def _sparse_fast_sigmoid(u, alpha: tl.constexpr):
    z = 1 + alpha * tl.abs(u)
    return (u > 1).to(u.dtype) / (z * z)


@_register("erf")
@triton.jit
def _erf(u, alpha: tl.constexpr):
    # the factor is 1 / sqrt(pi)
    return alpha * 0.5641895835477563 * tl.exp(-(alpha * u) * (alpha * u))


@_register("log_abs")
@triton.jit
def _log_abs(u, alpha: tl.constexpr):
    return 1 / (1 / alpha + tl.abs(u))


@_register("leaky_rectangular")
@triton.jit
def _leaky_rectangular(u, alpha: tl.constexpr):
    within = (tl.abs(u) < alpha).to(u.dtype)
    return within * (1 / (2 * alpha)) + (1 - within) * 0.01


@_register("fourier")
@triton.jit
def _fourier(u, alpha: tl.constexpr):
    return 4 / alpha * tl.cos(2 * 3.141592653589793 / alpha * u)


@_register("s2nn")
@triton.jit
def _s2nn(u, alpha: tl.constexpr):
    return tl.where(u < 0, _sigmoid(u, alpha), 1 / (1 + tl.abs(u)))


@_register("q_pseudo_spike")
@triton.jit
def _q_pseudo_spike(u, alpha: tl.constexpr):
    return tl.exp(-alpha * tl.log(1 + 2 / (alpha - 1) * tl.abs(u)))


@_register("relu")
@triton.jit
def _relu(u, alpha: tl.constexpr):
    return (u >= 0).to(u.dtype) * alpha


@_register("heaviside")
@triton.jit
def _heaviside(u, alpha: tl.constexpr):
    return (u > 0).to(u.dtype) * alpha


@_register("log_tailed_relu")
@triton.jit
def _log_tailed_relu(u, alpha: tl.constexpr):
    below = (u <= 0).to(u.dtype)
    return below * alpha + (1 - below) / tl.maximum(u, 1.0)


@_register("numerical")
@triton.jit
def _numerical(u, alpha: tl.constexpr):
    return 1 / tl.maximum(tl.abs(u), tl.full((), 1 / alpha, u.dtype))


@_register("spike_rate_escape")
@triton.jit
def _spike_rate_escape(u, alpha: tl.constexpr):
    return alpha * tl.exp(-tl.abs(u - 1))


@_register("tanh_window")
@triton.jit
def _tanh_window(u, alpha: tl.constexpr):
    # 1 - tanh(z)^2 is 4 p (1 - p), p the sigmoid of 2 z; the division is by 2 tanh(alpha / 2)
    power: tl.constexpr = 2.718281828459045**alpha
    p = 1 / (1 + tl.exp(-2 * alpha * u))
    slope = alpha * (power + 1) / (2 * (power - 1)) * (4 * p * (1 - p))
    return slope * (tl.abs(u) < 0.5).to(u.dtype)


@_register("straight_through")
@triton.jit
def _straight_through(u, alpha: tl.constexpr):
    return tl.full(u.shape, alpha, u.dtype)


LEVELS: dict[str, Callable[[float], tuple[float, float]]] = {
    "rectangular": lambda alpha: (1 / alpha, 0.0),
    "rectangular_closed": lambda alpha: (1 / alpha, 0.0),
    "leaky_rectangular": lambda alpha: (1 / (2 * alpha), 0.01),
    "relu": lambda alpha: (alpha, 0.0),
    "heaviside": lambda alpha: (alpha, 0.0),
    "straight_through": lambda alpha: (alpha, 0.0),
}
"""The two slopes of the surrogates that have no others: one bit tells which."""
