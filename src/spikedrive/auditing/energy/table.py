"""A named energy table: what every counted operation and every byte costs, and where it lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from spikedrive.auditing.energy.work import Stream, Traffic, Work
from spikedrive.registry import Registry

PRICES = {
    "additions": "addition", "multiplications": "mac", "functions": "function", "shifts": "shift",
    "compares": "compare", "ands": "gate", "sums": "sum", "lookups": "lookup",
    "membrane_updates": "membrane_update", "addressed": "address", "located": "location",
}  # fmt: skip
"""Which field of a table prices which count of `Work`."""


@dataclass(frozen=True)
class Memory:
    """One memory: the bytes it holds (None: any number), and the joules that a byte costs on its way."""

    name: str
    capacity: float | None
    joules_per_byte: float


@dataclass(frozen=True)
class EnergyTable:
    """What operations and bytes cost. Tables disagree, so a figure always names its table.

    *Equation*: energy = sum of count * price + sum of bytes * joules_per_byte. A price of 0 is not charged, and
    `scope` says so. `mac` is a multiplication with its addition; `function` (exp, root) has no source in any table
    and costs a `mac`, so that its figure is a lower bound.

    A tensor lives in the first of `memories`, ordered by capacity, that holds it. What fits none but the last, of
    any capacity, is brought from there to the one before once a step, and read there. Where `interpolated`, there is
    one memory of just the tensor's size, and `memories` are the points between which its price is drawn, from 0 on.

    A spike map is packed: 1 bit a binary spike, 2 bits a ternary one, ceil(log2(D + 1)) bits an integer up to D.
    With `message_bits`, each unit spike is a message of so many bits, in a queue of `message_slots`.

    `derived` names the prices that the source does not give, and what they were taken from.

    *Units*: joules; bits.
    """

    name: str
    mac: float
    addition: float
    process: str
    precision: str
    source: str
    scope: str
    function: float = 0.0
    sum: float = 0.0
    compare: float = 0.0
    shift: float = 0.0
    gate: float = 0.0
    lookup: float = 0.0
    membrane_update: float = 0.0
    address: float = 0.0
    location: float = 0.0
    weight_bits: int = 32
    activation_bits: int = 32
    membrane_bits: int = 32
    message_bits: int | None = None
    message_slots: int = 0
    memories: tuple[Memory, ...] = ()
    interpolated: bool = False
    derived: tuple[str, ...] = ()

    def joules(self, work: Work) -> float:
        """The energy of `work`, operations and bytes."""
        operations = sum(getattr(work, count) * getattr(self, price) for count, price in PRICES.items())
        return operations + sum(moved.joules for moved in self.traffic(work))

    def traffic(self, work: Work) -> tuple[Traffic, ...]:
        """The bytes that `work` moves, by kind of data and memory."""
        found: dict[tuple[str, str], Traffic] = {}
        for moved in (m for stream in work.streams for m in self._moved(stream)):
            key = (moved.holds, moved.memory)
            found[key] = joined(found[key], moved) if key in found else moved
        return tuple(found.values())

    def bits(self, stream: Stream) -> int:
        """The width of one element."""
        if stream.bits is not None:
            return stream.bits
        widths = {"weights": self.weight_bits, "activations": self.activation_bits}
        return widths.get(stream.holds, self.membrane_bits)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings."""
        plain = asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()}

    def _moved(self, stream: Stream) -> list[Traffic]:
        each = self.bits(stream) / 8
        size, read, written = (each * n for n in (stream.size, stream.read, stream.written))
        if self.message_bits is not None and stream.spikes is not None:
            each = self.message_bits / 8
            size = each * self.message_slots
            read, written = (each * stream.spikes if moves else 0.0 for moves in (read, written))
        if not self.memories or not (read or written):
            return []
        if self.interpolated:
            joules = (read + written) * self._price_at(size)
            return [Traffic(stream.holds, self.memories[0].name, read, written, joules)]
        holding = next(m for m in self.memories if m.capacity is None or m.capacity >= size)
        if holding.capacity is not None or len(self.memories) == 1:
            return [_traffic(stream, holding, read, written)]
        once = size * stream.passes
        return [
            _traffic(stream, self.memories[-2], read, written),
            _traffic(stream, holding, min(read, once), min(written, once)),
        ]

    def _price_at(self, size: float) -> float:
        """The price of a byte of a memory of `size` bytes; beyond the last point the last line goes on."""
        points = [(0.0, 0.0), *((m.capacity or 0.0, m.joules_per_byte) for m in self.memories)]
        pairs = list(pairwise(points))
        (x0, y0), (x1, y1) = next((pair for pair in pairs if size <= pair[1][0]), pairs[-1])
        return y0 + (y1 - y0) / (x1 - x0) * (size - x0)


def _traffic(stream: Stream, memory: Memory, read: float, written: float) -> Traffic:
    return Traffic(stream.holds, memory.name, read, written, (read + written) * memory.joules_per_byte)


def joined(one: Traffic, other: Traffic) -> Traffic:
    """The sum of two, of which the first says what and where."""
    return Traffic(
        one.holds, one.memory, one.read + other.read, one.written + other.written, one.joules + other.joules
    )


def unpriced(memories: Sequence[Memory]) -> tuple[Memory, ...]:
    """The same memories in a table that counts bytes and does not charge them."""
    return tuple(Memory(m.name, m.capacity, 0.0) for m in memories)


TABLES: Registry[EnergyTable] = Registry("energy table")
