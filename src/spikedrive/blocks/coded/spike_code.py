"""Numbers as counts of spikes under one scale."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from spikedrive.errors import ConfigError
from spikedrive.neurons import RoundingIF
from spikedrive.neurons.neuron import check_count

Per = Literal["tensor", "token"]
"""Which numbers share a scale: all of a tensor, or those along its last axis."""


class SpikeCode(nn.Module):
    """Numbers that a `RoundingIF` can send in `steps` steps: whole counts of spikes of both signs, times a scale.

    *Equation*, with T steps, over all numbers of the tensor or over those of a token:

        scale  s = max|x| / T, and 1 where all are 0
        count  n = sign(x) floor(|x| / s + 1/2)
        code   y = s n

    n is the sum of the spikes of `RoundingIF` driven with x / s for T steps: `trains` gives these. Backward, s
    is a constant and the rounding is not there.

    *Shapes*: x (..., C) -> (..., C).
    *Multiplies*: by s and by its inverse; s depends on the input, so that nothing folds it away.
    *Raises*: ConfigError for steps below 1, or another `per`.
    *Source*: BrainTransformers (arXiv 2410.14687); its release has 127 steps and one scale a tensor, by which the
    answer to one sequence depends on what else is in its batch; `per="token"` is ours and has no such tie.

    >>> SpikeCode(4)(torch.tensor([1.0, -0.4, 0.1])).tolist()
    [1.0, -0.5, 0.0]
    """

    def __init__(self, steps: int = 127, *, per: Per = "tensor") -> None:
        super().__init__()
        check_count("SpikeCode", "steps", steps)
        if per not in ("tensor", "token"):
            raise ConfigError(
                f"SpikeCode got per={per!r}; it takes 'tensor' or 'token'. Use 'token' for one scale a row."
            )
        self.steps, self.per = int(steps), per

    def counts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """n and s. Shapes: x (..., C) -> (..., C), and () or (..., 1)."""
        size = x.detach().abs()
        largest = size.amax(-1, keepdim=True) if self.per == "token" else size.amax()
        scale = torch.where(largest == 0, 1.0, largest / self.steps)
        counted: Any = _Rounded.apply(x / scale)
        return counted, scale

    def trains(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The spikes that add up to n, and s. Shapes: x (..., C) -> (T, ..., C), and () or (..., 1)."""
        _, scale = self.counts(x)
        return RoundingIF()((x / scale).expand(self.steps, *x.shape)), scale

    def forward(self, x: Tensor) -> Tensor:
        """The code of x."""
        counts, scale = self.counts(x)
        return counts * scale

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"steps={self.steps}, per={self.per!r}"


class _Rounded(torch.autograd.Function):
    """To the nearest whole number, halves away from zero; the gradient passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sign() * (x.abs() + 0.5).floor()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad
