"""Surrogate gradients: what stands for the derivative of the Heaviside step.

Each takes u = h - threshold and gives ds/du. The constants are those of the original code.
Source: SpikingJelly (Apache-2.0 style licence, "Open-Intelligence") for sigmoid and atan;
EMS-YOLO and ASA-SNN for the rectangle; the triangle is the usual one of width 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from spikedrive.errors import ConfigError, unknown_name


def _sigmoid(u: Tensor, alpha: float) -> Tensor:
    p = torch.sigmoid(alpha * u)
    return alpha * p * (1 - p)


def _atan(u: Tensor, alpha: float) -> Tensor:
    return alpha / 2 / (1 + (torch.pi / 2 * alpha * u) ** 2)


def _rectangular(u: Tensor, alpha: float) -> Tensor:
    return (u.abs() < alpha / 2).to(u.dtype) / alpha


def _triangle(u: Tensor, alpha: float) -> Tensor:
    return (alpha - u.abs()).clamp(min=0) / alpha**2


def _straight_through(u: Tensor, alpha: float) -> Tensor:
    return torch.full_like(u, alpha)


GRADIENTS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "sigmoid": _sigmoid,
    "atan": _atan,
    "rectangular": _rectangular,
    "triangle": _triangle,
    "straight_through": _straight_through,
}


@dataclass(frozen=True)
class Surrogate:
    """A named surrogate and its one constant `alpha`.

    *Equation*, with u = h - threshold:

    - sigmoid: alpha p (1 - p), p = 1 / (1 + exp(-alpha u))
    - atan: (alpha / 2) / (1 + (pi / 2 alpha u)^2)
    - rectangular: 1 / alpha where |u| < alpha / 2, else 0 (alpha is the width)
    - triangle: max(0, alpha - |u|) / alpha^2 (alpha is half the base)
    - straight_through: alpha

    >>> Surrogate("sigmoid", 4.0).gradient(torch.zeros(1)).item()
    1.0
    """

    name: str
    alpha: float

    def __post_init__(self) -> None:
        if self.name not in GRADIENTS:
            raise unknown_name("surrogate", self.name, GRADIENTS)
        if not self.alpha > 0:
            raise ConfigError(
                f"Surrogate {self.name} got alpha {self.alpha}; it takes a positive number. Try 1.0."
            )

    def gradient(self, u: Tensor) -> Tensor:
        """ds/du at u = h - threshold, same shape."""
        return GRADIENTS[self.name](u, self.alpha)


def sigmoid(alpha: float = 4.0) -> Surrogate:
    """The sigmoid's derivative; alpha 4 peaks at 1."""
    return Surrogate("sigmoid", alpha)


def atan(alpha: float = 2.0) -> Surrogate:
    """The arctangent's derivative; alpha 2 peaks at 1."""
    return Surrogate("atan", alpha)


def rectangular(width: float = 1.0) -> Surrogate:
    """A box of area 1 around the threshold."""
    return Surrogate("rectangular", width)


def triangle(alpha: float = 1.0) -> Surrogate:
    """A triangle of area 1 around the threshold."""
    return Surrogate("triangle", alpha)


def straight_through(alpha: float = 1.0) -> Surrogate:
    """A constant: the step counts as the identity in the backward pass."""
    return Surrogate("straight_through", alpha)
