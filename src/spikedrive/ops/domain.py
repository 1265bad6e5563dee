"""What values a neuron emits: the one contract between models, audit and engine."""

from __future__ import annotations

from dataclasses import dataclass

from spikedrive.errors import ConfigError


@dataclass(frozen=True)
class Domain:
    """Values `scale * n` for every integer n in [low, high].

    `scale` is exact: a power of two, or one real number that folds into the next weight.
    """

    low: int
    high: int
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ConfigError(
                f"Domain got low {self.low} above high {self.high}; it takes low <= high. Swap them."
            )
        if not self.scale > 0:
            raise ConfigError(
                f"Domain got scale {self.scale}; it takes a positive number. Use 1.0 for plain integers."
            )

    @property
    def levels(self) -> int:
        """The largest number of unit additions that one value can cost."""
        return max(abs(self.low), abs(self.high))

    @property
    def kind(self) -> str:
        """`binary`, `ternary` or `integer`."""
        if (self.low, self.high) == (0, 1):
            return "binary"
        return "ternary" if (self.low, self.high) == (-1, 1) else "integer"

    def __str__(self) -> str:
        scale = "" if self.scale == 1.0 else f" x {self.scale:g}"
        return f"{self.kind} {self.low}..{self.high}{scale}"


def Binary(scale: float = 1.0) -> Domain:  # noqa: N802 - reads as a type in declarations
    """The domain {0, scale}."""
    return Domain(0, 1, scale)


def Ternary(scale: float = 1.0) -> Domain:  # noqa: N802
    """The domain {-scale, 0, scale}."""
    return Domain(-1, 1, scale)


def Integer(high: int, scale: float = 1.0, low: int = 0) -> Domain:  # noqa: N802
    """The domain {low * scale, ..., high * scale}."""
    return Domain(low, high, scale)
