"""An artificial network as a flat list of operations, each with its place in a spiking one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

import torch
from torch import Tensor, nn

Kind = Literal["weighted", "activation", "linear", "other"]
"""Weights on spikes; what becomes a neuron; what commutes with a mean over steps; what does not."""


class _Batch:
    """Stands in an argument for the size of the batch, which T multiplies."""

    def __repr__(self) -> str:
        return "BATCH"


BATCH = _Batch()


class _OneOperation(nn.Module):
    """A module around one ATen operation, which a pickle holds by its name."""

    target: Any

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if isinstance(self.target, torch._ops.OpOverload):
            state["target"] = str(self.target)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state["target"], str):
            state = state | {"target": attrgetter(state["target"])(torch.ops)}
        super().__setstate__(state)


class Weighted(_OneOperation):
    """A convolution or linear layer with its own weights, as one ATen operation.

    *Shapes*: as the operation's, without T.
    """

    bias: nn.Parameter

    def __init__(self, target: Any, weight: Tensor, bias: Tensor | None, rest: Sequence[Any]) -> None:
        super().__init__()
        self.target, self.rest = target, tuple(rest)
        self.transposed = "transpose" in str(target)
        # linear layers have their channels last, convolutions behind the batch
        self.channel_axis = -1 if "linear" in str(target) else 1
        self.weight = nn.Parameter(weight.detach().clone())
        channels = weight.shape[1] * rest[3] if self.transposed else weight.shape[0]
        self.bias = nn.Parameter(weight.new_zeros(channels) if bias is None else bias.detach().clone())

    def scale_outputs(self, factor: Tensor, shift: Tensor) -> None:
        """Fold y * factor + shift, one number a channel, into the weights."""
        with torch.no_grad():
            self.weight.mul_(factor.view(-1, *[1] * (self.weight.dim() - 1)))
            self.bias.mul_(factor).add_(shift)

    def forward(self, x: Tensor) -> Tensor:
        """The layer."""
        return self.target(x, self.weight, self.bias, *self.rest)

    def extra_repr(self) -> str:
        """The operation and its weights' shape."""
        return f"{self.target}, weight={tuple(self.weight.shape)}"


class Call(_OneOperation):
    """One ATen operation without weights of its own; the tensors that it always reads are buffers.

    *Shapes*: as the operation's, without T.
    """

    def __init__(self, target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        super().__init__()
        self.target, self.kwargs = target, kwargs
        self.args: tuple[Any, ...] = tuple(self._keep(value) for value in args)

    def forward(self, *tensors: Tensor) -> Tensor:
        """The operation on its inputs."""
        given = iter(tensors)
        return self.target(
            *(self._fill(value, given, tensors[0].shape[0]) for value in self.args), **self.kwargs
        )

    def extra_repr(self) -> str:
        """The operation."""
        return str(self.target)

    def _keep(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._keep(item) for item in value]
        if isinstance(value, Tensor):
            name = f"constant{len(self._buffers)}"
            self.register_buffer(name, value)
            return _Constant(name)
        return value

    def _fill(self, value: Any, given: Any, batch: int) -> Any:
        if isinstance(value, list):
            return [self._fill(item, given, batch) for item in value]
        if isinstance(value, Input):
            return next(given)
        if isinstance(value, _Constant):
            return getattr(self, value.name)
        # a deep copy of the network copies what stands for the batch too
        return batch if isinstance(value, _Batch) else value


@dataclass(frozen=True)
class Input:
    """Stands in an argument for a tensor that another operation made."""

    name: str


@dataclass(frozen=True)
class _Constant:
    name: str


@dataclass(eq=False)
class Operation:
    """One operation of the artificial network.

    `inputs` name the operations that it reads, "input" the network's own input; `path` is the module that it came
    from; `top` is where an activation saturates (inf for a ReLU).
    """

    name: str
    kind: Kind
    inputs: tuple[str, ...]
    module: nn.Module
    path: str
    what: str
    top: float = math.inf
    reason: str = ""
