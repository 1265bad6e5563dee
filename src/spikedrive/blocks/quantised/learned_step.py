"""Weights of a few bits with a learned step for each output channel (LSQ)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from spikedrive.neurons.neuron import check_count, check_number


class LearnedStep(nn.Module):
    """A parametrisation that puts a layer's weight on a grid of 2^bits levels.

    *Equation*, with the step a of an output channel, low = -2^(bits - 1) and high = 2^(bits - 1) - 1:

        w_q = a round(clip(w / a, low, high))              (rounding: half to even)

    Backward: dw_q/dw is 1 where low <= w / a <= high, else 0; the gradient of a is
    g sum (round(u) - u inside, clip(u) outside) over the channel, with u = w / a and g = 1 / sqrt(numel(w) high).

    *Shapes*: weight (out, ...) -> (out, ...); `step` (out,).
    *Multiplies*: none at inference: the levels are the integers that an engine stores, a is their scale.
    *Raises*: ConfigError for bits outside 2..8.
    *Source*: LSQ (arXiv 1902.08153), as QSD-Transformer's code has it. There a is drawn at the first training
    forward and undefined before; here it starts from the weight that is given, 2 mean|w| / sqrt(high) as there.
    """

    def __init__(self, weight: Tensor, *, bits: int = 4) -> None:
        super().__init__()
        check_count("LearnedStep", "bits", bits)
        check_number("LearnedStep", "bits", bits, low=2, high=8)
        self.bits = bits
        self.low, self.high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        start = 2 * weight.detach().abs().mean() / math.sqrt(self.high)
        self.step = nn.Parameter(start.expand(weight.shape[0]).clone())

    def forward(self, weight: Tensor) -> Tensor:
        """The weight on its grid."""
        if torch.is_grad_enabled() and (weight.requires_grad or self.step.requires_grad):
            return _LearnedStep.apply(weight, self.step, self.low, self.high)  # type: ignore[return-value]
        return _quantise(weight, _wide(self.step, weight), self.low, self.high)[0]

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"bits={self.bits}"


def quantise_weights(model: nn.Module, *, bits: int = 4) -> None:
    """Put the weight of every convolution and linear layer of `model` on a grid of its own, in place.

    Biases stay as they are. A layer's weight reads as its quantised value from then on, `fuse` folds that value, and
    `torch.nn.utils.parametrize.remove_parametrizations` undoes it.

    *Multiplies*: none at inference.
    *Raises*: ConfigError for bits outside 2..8.

    >>> layer = nn.Linear(3, 2)
    >>> quantise_weights(layer)
    >>> levels = layer.weight / layer.parametrizations.weight[0].step[:, None]
    >>> bool((levels - levels.round()).abs().max() < 1e-5)
    True
    """
    for module in list(model.modules()):
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            # unsafe leaves out a trial of each, which takes seconds for a large model
            step = LearnedStep(module.weight, bits=bits)
            parametrize.register_parametrization(module, "weight", step, unsafe=True)


class _LearnedStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, step: Tensor, low: int, high: int) -> Tensor:
        ctx.save_for_backward(weight, step)
        ctx.bounds = low, high
        return _quantise(weight, _wide(step, weight), low, high)[0]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        weight, step = ctx.saved_tensors
        low, high = ctx.bounds
        _, ratio, levels = _quantise(weight, _wide(step, weight), low, high)
        inside = (ratio >= low) & (ratio <= high)
        slope = levels - ratio * inside
        gain = 1 / math.sqrt(weight.numel() * high)
        return grad * inside, gain * (grad * slope).flatten(1).sum(1), None, None


def _quantise(weight: Tensor, step: Tensor, low: int, high: int) -> tuple[Tensor, Tensor, Tensor]:
    ratio = weight / step
    levels = ratio.clamp(low, high).round()
    return levels * step, ratio, levels


def _wide(step: Tensor, weight: Tensor) -> Tensor:
    return step.view(-1, *[1] * (weight.dim() - 1))
