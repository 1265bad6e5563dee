"""Neurons of ours that are called the way other libraries call theirs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.neurons import Neuron


class InexactError(Exception):
    """Why a neuron of another library has no exact counterpart among ours."""


class Cell(nn.Module):
    """A neuron with what it keeps between two calls, which lasts no longer than one call of the whole model."""

    def __init__(self, neuron: Neuron) -> None:
        super().__init__()
        self.neuron = neuron
        self.kept: Any = None

    def step(self, x: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor]:
        """One step: spikes and the membrane after it.

        *Shapes*: x (B, ...), v (B, ...) -> (B, ...), (B, ...).
        """
        x = x.unsqueeze(0)
        spikes, after = self.neuron.scan(x, self.neuron.rest(x) if v is None else v)
        return spikes.squeeze(0), after


def start_at_rest(model: nn.Module) -> nn.Module:
    """Let each call of `model` begin and end with nothing kept; gives the model."""
    model.register_forward_pre_hook(_forget)
    model.register_forward_hook(_forget, always_call=True)
    return model


def _forget(model: nn.Module, *_: Any) -> None:
    for module in model.modules():
        if isinstance(module, Cell):
            module.kept = None


def number(value: Any, name: str) -> float:
    """One number for the whole layer.

    *Raises*: InexactError for a value that differs from neuron to neuron.
    """
    if not isinstance(value, Tensor):
        return float(value)
    if value.numel() != 1:
        raise InexactError(f"its {name} differs from neuron to neuron ({value.numel()} values)")
    return value.detach().item()


def steps_at(function: Any, at_zero: float) -> None:
    """Check that a library's spike function is the step: 0 below zero, 1 above, `at_zero` at zero.

    *Raises*: InexactError.
    """
    seen = function(torch.tensor([-1.0, -1e-3, 0.0, 1e-3, 1.0])).tolist()
    if seen != [0.0, 0.0, at_zero, 1.0, 1.0]:
        raise InexactError(f"its spike function gives {seen} at -1, -0.001, 0, 0.001 and 1, which is no step")
