"""What a leaky scan is told beside its tensors, in the order of the operation's schema."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from spikedrive.errors import ConfigError

SCHEMA = (
    "float threshold, bool decay_input, bool hard_reset, float reset_value, bool strict, bool detach_reset, "
    "str surrogate, float alpha, bool save, bool compact=True, bool delayed_reset=False, bool keep_last=True"
)


def check_reset(owner: str, delayed: bool, detached: bool) -> None:
    """Raise ConfigError for a delayed reset inside the gradient, which no implementation computes."""
    if delayed and not detached:
        raise ConfigError(
            f"{owner} got delayed_reset=True with detach_reset=False; a delayed reset is a constant in the "
            "backward pass. Leave detach_reset at True."
        )


class Options(NamedTuple):
    """The numbers of one scan; `save` keeps what the backward pass needs, `compact` in fewer bits.

    Without `keep_last` the last membrane comes back empty. `grad_v_wanted` is said in the backward pass only.
    """

    decay: float | Tensor
    threshold: float
    decay_input: bool
    hard_reset: bool
    reset_value: float
    strict: bool
    detach_reset: bool
    surrogate: str
    alpha: float
    save: bool
    compact: bool = True
    delayed_reset: bool = False
    keep_last: bool = True
    grad_v_wanted: bool = True

    @property
    def learned(self) -> bool:
        """Whether the decay is a tensor with a gradient of its own."""
        return isinstance(self.decay, Tensor)
