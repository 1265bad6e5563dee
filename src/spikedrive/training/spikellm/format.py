"""What a language model is quantised to, and what that costs in bits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from spikedrive.errors import ConfigError

Method = Literal["rtn", "smoothquant", "gptq"]
"""Round to nearest; the same after the difficulty moved from activations to weights; rounding that makes up for its
error in the columns that are still to come."""
Ranges = Literal["own", "token"]
"""Salient channels with a range of their own, or with that of the whole token as in the release."""

TERNARY = math.log2(3)
"""Bits of one ternary spike."""
SCALE_BITS = 16
"""A scale, a zero point of a token, or a factor of a channel, in half precision."""


@dataclass(frozen=True)
class Format:
    """Bits and spikes of the weights and of the activations of linear layers.

    A salient input channel has `weight_spikes` or `activation_spikes` spikes of so many bits, any other channel one.
    With `ternary` a weight is one of -1, 0 and 1 times a scale, and a salient one a sum of such spikes.
    `activation_bits=None` leaves the activations real. `group` is how many columns share a scale (None: all of a row).
    Bits may be fractional where nothing spikes, see `tops_of`.

    *Raises*: ConfigError.

    >>> Format(4, 4, activation_spikes=2).name
    'W4A4'
    """

    weight_bits: float = 4
    activation_bits: float | None = 4
    method: Method = "rtn"
    weight_spikes: int = 1
    activation_spikes: int = 1
    salient: float = 0.1
    ternary: bool = False
    group: int | None = None
    ranges: Ranges = "own"
    alpha: float = 0.5
    damping: float = 0.01

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise ConfigError(
                f"Format got method={self.method!r}; it takes {', '.join(get_args(Method))}. Name one of these."
            )
        if self.ranges not in get_args(Ranges):
            raise ConfigError(
                f"Format got ranges={self.ranges!r}; it takes {', '.join(get_args(Ranges))}. Name one of these."
            )
        self._within("weight_bits", self.weight_bits, 1, 8)
        if self.activation_bits is not None:
            self._within("activation_bits", self.activation_bits, 1, 16)
        self._within("salient", self.salient, 0, 1)
        for name, bits in (("weight", self.weight_bits), ("activation", self.activation_bits)):
            spikes: int = getattr(self, f"{name}_spikes")
            self._within(f"{name}_spikes", spikes, 1, 16)
            if spikes > 1 and (bits is None or not float(bits).is_integer()):
                raise ConfigError(
                    f"Format got {name}_spikes={spikes} of {bits} bits; spikes take a whole number of bits. "
                    f"Round {name}_bits."
                )
        if not self.ternary and self.weight_spikes * (2**self.weight_bits - 1) > 255:
            raise ConfigError(
                f"Format got {self.weight_spikes} spikes of {self.weight_bits:g} bits a weight; codes up to 255 are "
                "kept. Take fewer spikes or bits."
            )
        if self.ranges == "token" and self.activation_spikes & (self.activation_spikes - 1):
            raise ConfigError(
                f"Format got ranges='token' and activation_spikes={self.activation_spikes}; the release codes extra "
                "bits, so that spikes are a power of two. Take 2, 4 or 8, or ranges='own'."
            )

    def _within(self, name: str, number: float, low: float, high: float) -> None:
        if not low <= number <= high:
            raise ConfigError(
                f"Format got {name}={number}; it takes a number from {low} to {high}. Change {name}."
            )

    @property
    def name(self) -> str:
        """As papers write it: W4A4, or WtA8 for ternary weights."""
        weight = "t" if self.ternary else f"{self.weight_bits:.3g}"
        return f"W{weight}A{16 if self.activation_bits is None else format(self.activation_bits, '.3g')}"

    @property
    def bits_a_weight(self) -> float:
        """Bits of one spike of a weight."""
        return TERNARY if self.ternary else self.weight_bits


@dataclass(frozen=True)
class AverageBits:
    """Bits a weight and bits an activation of one layer or of many, with scales, zero points and extra spikes.

    `weights` and `activations` count what the averages are over.
    """

    weight: float
    activation: float
    weights: int
    activations: int

    def __add__(self, other: AverageBits) -> AverageBits:
        weights, activations = self.weights + other.weights, self.activations + other.activations
        return AverageBits(
            (self.weight * self.weights + other.weight * other.weights) / weights,
            (self.activation * self.activations + other.activation * other.activations) / activations,
            weights,
            activations,
        )
