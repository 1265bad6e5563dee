"""What one operation does for one sample: how often it computes, and what it moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Held = Literal["weights", "biases", "activations", "membrane"]
"""Kinds of data. `activations` are inputs, spikes and what functions give; `membrane` are sums of weights and of
integers on their way into a neuron, and the neuron's own state."""


@dataclass(frozen=True)
class Stream:
    """Elements of one kind that an operation reads and writes for one sample.

    `size` of them are held at once (one step's) and gone through `passes` times. `bits` is the width of one, None
    where a table decides it. `spikes` are the unit spikes among activations, where these are spikes: an integer s is
    s of them.
    """

    holds: Held
    size: float
    read: float = 0.0
    written: float = 0.0
    bits: int | None = None
    spikes: float | None = None
    passes: float = 1.0


@dataclass(frozen=True)
class Work:
    """What an operation costs for one sample, before anybody says what that is worth.

    `addressed` are the addresses that it computes one after the other, `located` the spikes for which it must find
    the first of them, as a convolution does.
    """

    additions: float = 0.0
    multiplications: float = 0.0
    functions: float = 0.0
    shifts: float = 0.0
    compares: float = 0.0
    ands: float = 0.0
    sums: float = 0.0
    lookups: float = 0.0
    membrane_updates: float = 0.0
    addressed: float = 0.0
    located: float = 0.0
    streams: tuple[Stream, ...] = ()


@dataclass(frozen=True)
class Traffic:
    """Bytes of one kind of data that go to and come from one memory.

    *Units*: bytes and joules per sample.
    """

    holds: Held
    memory: str
    read: float
    written: float
    joules: float
