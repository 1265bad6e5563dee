"""Named energy tables. They disagree with each other, so a figure always names its table."""

from __future__ import annotations

from dataclasses import dataclass

from spikedrive.registry import Registry


@dataclass(frozen=True)
class EnergyTable:
    """What one multiplication-and-addition and one addition cost.

    *Units*: joules. A function evaluation (exp, root) is charged as one multiplication: no table has it,
    so its figure is a lower bound.
    """

    name: str
    mac: float
    addition: float
    process: str
    precision: str
    source: str
    scope: str

    def joules(self, *, multiplications: float = 0, additions: float = 0, functions: float = 0) -> float:
        """The energy of so many operations."""
        return (multiplications + functions) * self.mac + additions * self.addition


TABLES: Registry[EnergyTable] = Registry("energy table")

TABLES.add(
    "45nm",
    EnergyTable(
        name="45nm",
        mac=4.6e-12,
        addition=0.9e-12,
        process="45 nm, 0.9 V",
        precision="fp32",
        source="M. Horowitz, Computing's energy problem, ISSCC 2014: fp32 multiplication 3.7 pJ, addition 0.9 pJ",
        scope=(
            "the papers' convention: synaptic additions and multiplications only; memory traffic, membrane updates, "
            "shortcuts, biases, comparisons, shifts and gates are free"
        ),
    ),
)
