"""What every operation costs, before densities are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from spikedrive.auditing import spread
from spikedrive.auditing.spread import Spread
from spikedrive.auditing.trace import Graph, Node
from spikedrive.auditing.value import Value
from spikedrive.ops.domain import Domain


@dataclass(frozen=True)
class Event:
    """Integers of which each unit costs additions.

    `node` is the tensor that holds them, n = (value - offset) / gain; an element n causes |n| * fanout
    additions, |n| at most `largest`. `shape` is the tensor's.
    """

    node: str
    shape: tuple[int, ...]
    gain: Spread
    offset: Spread
    largest: int
    fanout: Spread

    @property
    def worst(self) -> float:
        """The additions per sample if every element were the largest."""
        return self.largest * float(spread.full(self.fanout, self.shape).sum())


@dataclass
class Tally:
    """One operation's cost for `Graph.batch` samples.

    `events` holds groups of alternatives: of each group the cheapest is executed. `additions` are those
    that no density changes. `observed` names the tensor whose density the row reports.
    """

    node: Node
    kind: str = ""
    domain: str = ""
    note: str = ""
    why: str = ""
    replacement: str = ""
    gated: bool = False
    analog: bool = False
    observed: Event | None = None
    events: list[Sequence[Event]] = field(default_factory=list)
    dense_macs: float = 0
    additions: float = 0
    multiplications: float = 0
    functions: float = 0
    shifts: float = 0
    compares: float = 0
    ands: float = 0
    sums: float = 0
    lookups: float = 0
    membrane_updates: float = 0
    low: float | None = None
    high: float | None = None
    bits: int | None = None


class Ledger:
    """One tally a node, made when something is written to it."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._tallies: dict[str, Tally] = {}
        self._settled: set[str] = set()
        self._biased: set[str] = set()

    def __getitem__(self, name: str) -> Tally:
        if name not in self._tallies:
            self._tallies[name] = Tally(self._graph[name])
        return self._tallies[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tallies

    def tallies(self) -> list[Tally]:
        """All of them in the order of the graph."""
        return [self._tallies[node.name] for node in self._graph if node.name in self._tallies]

    def settle(self, name: str) -> bool:
        """Whether a deferred multiplication is charged for the first time."""
        first = name not in self._settled
        self._settled.add(name)
        return first

    def bias(self, name: str) -> bool:
        """Whether the linear operation gets its first bias."""
        first = not self.biased(name)
        self._biased.add(name)
        return first

    def biased(self, name: str) -> bool:
        """Whether the linear operation has a bias, of its own or folded in."""
        return name in self._biased


def event(name: str, value: Value, fanout: Spread) -> Event:
    """The event of `value`, which must be of integers, held by node `name`."""
    return Event(name, value.shape, value.gain, value.offset, value.largest, fanout)


def integer_bits(integers: Domain) -> int:
    """The width that holds every one of them: unsigned, or two's complement where some are negative.

    >>> integer_bits(Domain(0, 4)), integer_bits(Domain(-4, 4))
    (3, 4)
    """
    return math.ceil(math.log2(integers.levels + 1)) + (integers.low < 0)
