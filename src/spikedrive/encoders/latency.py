"""Latency coding: the brighter, the earlier, and only once."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from spikedrive.encoders.checks import unit_interval
from spikedrive.errors import unknown_name
from spikedrive.neurons.neuron import check_count
from spikedrive.ops.domain import Binary, Domain
from spikedrive.state import Stateful

Curve = Literal["linear", "log"]


class Latency(Stateful):
    """One spike for each value, at a step that says how large it is.

    *Equation*: the spike comes at step t = round(f), counted from 0, with

        linear  f = (T - 1)(1 - x)
        log     f = (T - 1) - ln(a x + 1), a = exp(T - 1) - 1

    *Shapes*: x (B, ...) in 0..1 -> (T, B, ...).
    *Multiplies*: none: the steps are edges on x, two comparisons and an AND a step.
    *Raises*: ConfigError for steps below 1; UnknownNameError for another curve; ValueRangeError for an
    intensity outside 0..1.
    *Source*: SpikingJelly's LatencyEncoder. It rounds half to even, here halves go to the earlier step;
    `silent_zero` keeps a value of exactly 0 from firing at the last step. Steps after T are silent.

    >>> Latency(3)(torch.tensor([[1.0, 0.5, 0.0]])).argmax(0).tolist()
    [[0, 1, 2]]
    """

    static = True
    _lower: Tensor
    _upper: Tensor

    def __init__(self, steps: int, *, curve: Curve = "linear", silent_zero: bool = False) -> None:
        super().__init__()
        check_count("Latency", "steps", steps)
        if curve not in ("linear", "log"):
            raise unknown_name("curve", curve, ("linear", "log"))
        self.steps, self.curve, self.silent_zero = int(steps), curve, silent_zero
        # step t fires where lower[t] <= x < upper[t]; the last entry stands for all steps after T
        edges = [_inverse(t + 0.5, self.steps, curve) for t in range(self.steps - 1)]
        last = torch.finfo(torch.float32).tiny if silent_zero else -math.inf
        self.register_buffer("_lower", torch.tensor([*edges, last, math.inf]), persistent=False)
        self.register_buffer("_upper", torch.tensor([math.inf, *edges, math.inf]), persistent=False)

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    def rest(self, x: Tensor) -> Tensor:
        """Step 0."""
        return torch.zeros((), dtype=torch.int64, device=x.device)

    def scan(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The spikes, and the number of the next step."""
        unit_interval("Latency", x)
        steps = self.steps_override or self.steps
        which = (state + torch.arange(steps, device=x.device)).clamp(max=self.steps)
        shape = (steps, *[1] * x.dim())
        lower, upper = (edges[which].view(shape) for edges in (self._lower, self._upper))
        shown = x.unsqueeze(0).expand(steps, *x.shape)
        return ((shown >= lower) & (shown < upper)).to(x.dtype), state + steps

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"steps={self.steps}, curve={self.curve}"


def _inverse(f: float, steps: int, curve: str) -> float:
    """The intensity whose spike would come at the time f."""
    if curve == "linear":
        return 1 - f / (steps - 1)
    # (exp(T - 1 - f) - 1) / (exp(T - 1) - 1), without overflow
    return (math.exp(-f) - math.exp(1 - steps)) / (1 - math.exp(1 - steps))
