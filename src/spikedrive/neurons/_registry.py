"""The registry of neurons: what the contract tests and `spikedrive neurons` run over."""

from __future__ import annotations

from typing import TypeVar

from spikedrive.neurons.neuron import Neuron
from spikedrive.registry import Registry

NEURONS: Registry[type[Neuron]] = Registry("neuron")

Class = TypeVar("Class", bound=type[Neuron])


def register_neuron(cls: Class) -> Class:
    """Class decorator: register a neuron under its class name."""
    NEURONS.add(cls.__name__, cls)
    return cls


def list_neurons(pattern: str = "*") -> list[str]:
    """The registered neurons whose names match a shell pattern."""
    return NEURONS.names(pattern)


def get_neuron(name: str) -> type[Neuron]:
    """The neuron class of that name; an unknown name raises with the nearest three."""
    return NEURONS[name]
