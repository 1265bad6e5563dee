"""The registries: neurons, which keep their input's shape, and cells, which hold a layer's weights."""

from __future__ import annotations

from typing import TypeVar

from spikedrive.neurons.neuron import Neuron
from spikedrive.registry import Registry

NEURONS: Registry[type[Neuron]] = Registry("neuron")
CELLS: Registry[type[Neuron]] = Registry("cell")

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


def register_cell(cls: Class) -> Class:
    """Class decorator: register a neuron that takes its number of inputs and features, under its class name."""
    CELLS.add(cls.__name__, cls)
    return cls


def list_cells(pattern: str = "*") -> list[str]:
    """The registered cells whose names match a shell pattern."""
    return CELLS.names(pattern)


def get_cell(name: str) -> type[Neuron]:
    """The cell class of that name; an unknown name raises with the nearest three."""
    return CELLS[name]
