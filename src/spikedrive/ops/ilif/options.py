"""What an integer scan is told beside its tensors, in the order of the operation's schema."""

from __future__ import annotations

from typing import NamedTuple

SCHEMA = (
    "int levels, float decay, float threshold, bool decay_input, bool half_even, bool closed_gate, int repeats, "
    "float scale, bool save, bool detach_reset=True"
)


class Options(NamedTuple):
    """The numbers of one scan; see `spikedrive.ops.ilif.reference`."""

    levels: int
    decay: float
    threshold: float
    decay_input: bool
    half_even: bool
    closed_gate: bool
    repeats: int
    scale: float
    save: bool
    detach_reset: bool = True
