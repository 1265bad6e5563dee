"""Shortcuts, and the dropouts that share their mask over T."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from spikedrive.errors import unknown_name
from spikedrive.neurons.neuron import check_number

Connect = Literal["add", "and", "iand"]


class DropPath(nn.Module):
    """Drop the whole branch of a sample, at every step alike.

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Multiplies*: none in eval mode (the identity).
    *Raises*: ConfigError for a rate outside 0..1.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        check_number("DropPath", "rate", rate, low=0, high=1)
        self.rate = float(rate)

    def forward(self, x: Tensor) -> Tensor:
        """x, or zero with probability `rate` and x / (1 - rate) otherwise while training."""
        return _drop(x, self.rate, (1, x.shape[1], *[1] * (x.dim() - 2))) if self.training else x

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"rate={self.rate:g}"


class Dropout(nn.Module):
    """Drop single values, at every step alike.

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Multiplies*: none in eval mode (the identity).
    *Raises*: ConfigError for a rate outside 0..1.
    """

    def __init__(self, rate: float = 0.5) -> None:
        super().__init__()
        check_number("Dropout", "rate", rate, low=0, high=1)
        self.rate = float(rate)

    def forward(self, x: Tensor) -> Tensor:
        """x with values zeroed with probability `rate` and scaled by 1 / (1 - rate) while training."""
        return _drop(x, self.rate, (1, *x.shape[1:])) if self.training else x

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"rate={self.rate:g}"


class MembraneShortcut(nn.Module):
    """Adds a branch to the membrane potentials that it started from.

    *Equation*: y = x + drop_path(branch); x is real, the branch begins with a neuron.
    *Shapes*: x, branch (T, B, C, H, W) -> (T, B, C, H, W).
    *Multiplies*: none; both sides share one scale.
    *Source*: MS-ResNet (arXiv 2112.08954), Spike-driven Transformer (arXiv 2307.01694).
    """

    def __init__(self, drop_path: float = 0.0) -> None:
        super().__init__()
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        """x + branch."""
        return x + self.drop_path(branch)


class MembraneBlock(nn.Module):
    """Branches one after another, each with a membrane shortcut; a branch is found under its name.

    *Equation*: x = x + drop_path(branch(x)) for each branch, in the order given.
    *Shapes*: x (T, B, C, H, W) -> (T, B, C, H, W).
    *Multiplies*: what its branches do.
    """

    def __init__(self, drop_path: float = 0.0, **branches: nn.Module) -> None:
        super().__init__()
        self.order = tuple(branches)
        for name, branch in branches.items():
            self.add_module(name, branch)
        self.shortcut = MembraneShortcut(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """The potentials after every branch."""
        for name in self.order:
            x = self.shortcut(x, getattr(self, name)(x))
        return x


class SEWShortcut(nn.Module):
    """Joins the spikes of a branch with the spikes that it started from.

    *Equation*: "add" y = x + branch · "and" y = x branch · "iand" y = x (1 - branch).
    *Shapes*: x, branch (T, B, C, H, W) -> (T, B, C, H, W).
    *Multiplies*: none for binary spikes ("and" and "iand" are gates). "add" leaves integers 0..2, one more at
    every further block, so that what follows is additive in integers, not in spikes.
    *Raises*: UnknownNameError for another `connect`.
    *Source*: SEW ResNet (arXiv 2102.04159), table 1: a silent branch is the identity of "add" and "iand".
    """

    def __init__(self, connect: Connect = "add", *, drop_path: float = 0.0) -> None:
        super().__init__()
        if connect not in ("add", "and", "iand"):
            raise unknown_name("SEW connection", connect, ("add", "and", "iand"))
        self.connect = connect
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        """x joined with branch."""
        branch = self.drop_path(branch)
        if self.connect == "add":
            return x + branch
        return x * (branch if self.connect == "and" else 1 - branch)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"connect={self.connect}"


def _drop(x: Tensor, rate: float, shape: tuple[int, ...]) -> Tensor:
    if rate == 0.0:
        return x
    keep = 1 - rate
    mask = x.new_empty(shape).bernoulli_(keep)
    return x * (mask / keep if keep > 0 else mask)
