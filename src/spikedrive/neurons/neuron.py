"""What every neuron is: a stateful module that declares what values leave it."""

from __future__ import annotations

from abc import abstractmethod
from operator import index
from typing import Any

from spikedrive.errors import ConfigError
from spikedrive.ops.domain import Domain
from spikedrive.state import Stateful


class Neuron(Stateful):
    """A `Stateful` that declares what values leave it.

    Shapes: x (T, B, ...) -> (T, B, ...).
    """

    silent_at_zero: bool = True
    """Whether zero input from rest gives zero output."""

    @property
    @abstractmethod
    def domain(self) -> Domain | None:
        """The values that leave the neuron; None for real numbers, which the next layer multiplies."""


def check_number(owner: str, name: str, value: float, *, above: float | None = None, low: float | None = None,
                 high: float | None = None) -> None:  # fmt: skip
    """Raise ConfigError unless above < value and low <= value <= high."""
    # written so that NaN fails too
    accepted = (
        (above is None or value > above) and (low is None or value >= low) and (high is None or value <= high)
    )
    if accepted and value == value:
        return
    bounds = " and ".join(
        text for text, bound in ((f"above {above:g}" if above is not None else "", above),
                                 (f"at least {low:g}" if low is not None else "", low),
                                 (f"at most {high:g}" if high is not None else "", high)) if bound is not None
    )  # fmt: skip
    raise ConfigError(f"{owner} got {name}={value}; it takes a number {bounds}. Change {name}.")


def check_count(owner: str, name: str, value: Any, *, high: float | None = None) -> None:
    """Raise ConfigError unless value is a whole number, 1 <= value <= high."""
    try:
        index(value)
    except TypeError:
        raise ConfigError(
            f"{owner} got {name}={value!r}; it takes a whole number of at least 1. Change {name}."
        ) from None
    check_number(owner, name, value, low=1, high=high)
