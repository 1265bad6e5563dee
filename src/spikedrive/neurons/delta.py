"""The delta activation layer: only what changed is sent on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.neuron import Neuron, check_count, check_number
from spikedrive.ops import checks, equation
from spikedrive.ops.domain import Domain, Integer
from spikedrive.state import Stateful


@register_neuron
class DeltaActivation(Neuron):
    """The changes of a quantised activation, as integers times its step.

    *Equation*, with step q and levels L, from y = 0:

        n_t = round(clip(x_t / q, -L, L))        (half to even)
        output  d_t = q (n_t - n_(t-1))

    A linear layer without bias takes d, and `Accumulate` behind it sums up: sum_(t' <= t) W d_t' = W y_t.
    Put the bias and whatever is not linear behind the sum. With levels=None nothing is clipped, and with
    step=0 nothing is rounded either: the differences of x itself, without a domain.
    Backward: dn/dx is 1/q inside the levels, 0 beyond; a learned step has its gradient from there too.

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Units*: the step in units of x. A call starts from zero, so every clip starts afresh; `run` continues.
    *Multiplies*: none: 2 L comparisons and a subtraction; the step folds into the next weight. Without
    levels it emits real numbers, and the audit names the products of the next layer.
    *Raises*: ConfigError for a negative step, levels below 1, or a learned step of zero.
    *Source*: the delta activation layer (arXiv 2107.07305), from its abstract; no code was published.

    >>> DeltaActivation(0.5)(torch.tensor([0.6, 0.6, 1.6, 0.1]).view(4, 1, 1)).flatten().tolist()
    [0.5, 0.0, 1.0, -1.5]
    """

    def __init__(self, step: float = 1.0, levels: int | None = 127, *, learn_step: bool = False) -> None:
        super().__init__()
        check_number("DeltaActivation", "step", step, low=0)
        if levels is not None:
            check_count("DeltaActivation", "levels", levels)
        if learn_step or (levels is not None and step == 0):
            check_number("DeltaActivation", "step", step, above=0)
        self.levels = None if levels is None else int(levels)
        self.step: nn.Parameter | float = float(step)
        if learn_step:
            self.step = nn.Parameter(torch.tensor(self.step))

    @property
    def domain(self) -> Domain | None:
        """Integers from -2 levels to 2 levels times the step; None without levels."""
        return None if self.levels is None else Integer(2 * self.levels, self._unit, -2 * self.levels)

    @property
    def _unit(self) -> float:
        return float(self.step.detach()) if isinstance(self.step, Tensor) else self.step

    def rest(self, x: Float[Tensor, "T B *S"]) -> Float[Tensor, "B *S"]:
        """Nothing was sent yet."""
        return torch.zeros_like(x[0])

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S"]
    ) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "B *S"]]:
        """The changes, and the last activation that they add up to (in steps)."""
        checks.scan_input("DeltaActivation", x, state)
        if not isinstance(self.step, Tensor):
            return delta_scan(x, state, self.levels, self.step)
        step = self.step.to(x.dtype)
        changes, last = delta_scan(x / step, state, self.levels, 1.0)
        return changes * step, last

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"step={self._unit:g}, levels={self.levels}"


class Accumulate(Stateful):
    """The running sum over time: what undoes `DeltaActivation` behind a linear layer.

    *Equation*: y_t = y_(t-1) + x_t.
    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Multiplies*: none.

    >>> Accumulate()(torch.ones(3, 1, 1)).flatten().tolist()
    [1.0, 2.0, 3.0]
    """

    def rest(self, x: Tensor) -> Tensor:
        """A sum of zero."""
        return torch.zeros_like(x[0])

    def scan(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The sums so far, and the last of them."""
        sums = []
        for x_t in x.unbind(0):
            state = state + x_t
            sums.append(state)
        return torch.stack(sums), state


def sparsity_loss(changes: Iterable[Tensor]) -> Tensor:
    """The mean |change| of each tensor, summed: what makes a network send less.

    *Shapes*: each (T, B, ...) -> ().
    *Units*: multiply by a weight of one's own and add to the loss.
    """
    return torch.stack([d.abs().mean() for d in changes]).sum()


class _Quantise(torch.autograd.Function):
    """Whole numbers within the levels; the identity backward where they are not cut off."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, levels: int | None) -> Tensor:
        ctx.save_for_backward(u)
        ctx.levels = levels
        return _whole(u, levels)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        (u,) = ctx.saved_tensors
        return grad if ctx.levels is None else grad * (u.abs() <= ctx.levels), None


def _whole(u: Tensor, levels: int | None) -> Tensor:
    return (u if levels is None else u.clamp(-levels, levels)).round()


def _equation(x: Tensor, last: Tensor, levels: int | None, step: float) -> tuple[Tensor, Tensor]:
    if step == 0:
        n = x
    else:
        n = _Quantise.apply(x / step, levels) if torch.is_grad_enabled() else _whole(x / step, levels)
    before = torch.cat([last[None], n[:-1]])  # type: ignore[index]
    change = n - before  # type: ignore[operator]
    return change if step == 0 else step * change, n[-1].clone()  # type: ignore[index]


def _domain(arguments: Any) -> Domain | None:
    levels = arguments["levels"]
    return None if levels is None else Integer(2 * levels, arguments["step"], -2 * levels)


delta_scan = equation.define(
    "delta_scan",
    "(Tensor x, Tensor last, int? levels, float step) -> (Tensor, Tensor)",
    _equation,
    domain=_domain,
)
