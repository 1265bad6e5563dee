"""What a ternary scan is told beside its tensors, in the order of the operation's schema."""

from __future__ import annotations

from typing import NamedTuple

SCHEMA = (
    "float decay, float threshold, bool decay_input, bool hard_reset, float reset_value, bool detach_reset, "
    "float window, str surrogate, float alpha, bool save, bool compact=True"
)


class Options(NamedTuple):
    """The numbers of one scan; see `spikedrive.ops.ternary.reference`."""

    decay: float
    threshold: float
    decay_input: bool
    hard_reset: bool
    reset_value: float
    detach_reset: bool
    window: float
    surrogate: str
    alpha: float
    save: bool
    compact: bool = True
