"""Optimal Brain Spiking: how much each input channel of a linear layer matters."""

from __future__ import annotations

import torch
from torch import Tensor

from spikedrive.errors import ValueRangeError


def first_order(weight: Tensor, hessian: Tensor) -> Tensor:
    """The salience of activations: the gradient of |W x|^2 / 2 times x, on average over tokens.

    *Equation*: s_j = mean over x of x_j (W^T W x)_j, which is sum_k H_jk (W^T W)_jk with H = mean x x^T: no token is
    needed once H is known. It is signed, as in the release: a channel that works against the others is not salient.
    *Shapes*: weight (O, C), hessian (C, C) -> (C,).
    *Source*: SpikeLLM (arXiv 2407.04752) and its code.

    >>> first_order(torch.tensor([[1.0, 2.0]]), torch.eye(2)).tolist()
    [1.0, 4.0]
    """
    return (hessian * (weight.T @ weight)).sum(1)


def second_order(weight: Tensor, inverse: Tensor) -> Tensor:
    """The salience of weights: the error that is left when a channel is cut and all others make up for it.

    *Equation*: s_j = sum_i W_ij^2 / [H^-1]_jj.
    *Shapes*: weight (O, C), inverse (C, C) -> (C,).
    *Source*: Optimal Brain Surgeon; SpikeLLM (arXiv 2407.04752) takes it for weights, which its release leaves out.
    """
    return weight.square().sum(0) / inverse.diagonal()


def invert(hessian: Tensor, damping: float) -> Tensor:
    """The inverse of H with `damping` times its mean diagonal added to the diagonal.

    *Raises*: ValueRangeError where H is not positive definite even so.
    """
    damped = hessian + damping * hessian.diagonal().mean() * torch.eye(len(hessian), dtype=hessian.dtype)
    # channels that are always 0 leave no curvature
    damped.diagonal().clamp_(min=1e-8)
    factor, failed = torch.linalg.cholesky_ex(damped)
    if failed:
        raise ValueRangeError(
            f"The second moments of a layer's {len(hessian)} input channels are not positive definite with damping "
            f"{damping:g}; they must be inverted. Calibrate on more tokens, or raise the damping."
        )
    return torch.cholesky_inverse(factor)


def most_salient(salience: Tensor, share: float) -> Tensor:
    """Which channels are among the given share with the highest salience.

    *Shapes*: (C,) -> (C,) of bool.
    *Source*: the release calls low whatever does not exceed the int((1 - share) C)-th smallest number.

    >>> most_salient(torch.tensor([3.0, 1.0, 2.0, 5.0]), 0.5).tolist()
    [True, False, False, True]
    """
    # 0.9 * 40 is 36.0, but 0.7 * 10 is 6.999...
    low = int((1 - share) * len(salience) + 1e-9)
    if low == 0:
        return torch.ones_like(salience, dtype=torch.bool)
    return salience > salience.kthvalue(low).values
