"""One function for every set of clips whose optical flow is known at each step."""

from __future__ import annotations

from collections.abc import Callable

from spikedrive.data.events.simulated.flow import FlowSet, moving_textures
from spikedrive.errors import unknown_name

FLOW_SETS: dict[str, Callable[..., FlowSet]] = {"moving_textures": moving_textures}
"""From a name to what makes a split; it takes the split, and `clips`, `size` and `dt`."""


def load_flow(
    source: str, split: str = "train", *, clips: int | None = None, size: int = 64, dt: int = 20_000
) -> FlowSet:
    """The clips of one split of `source`, which is a name of `FLOW_SETS`.

    *Units*: size in pixels, dt, the length of a step, in microseconds.
    *Raises*: UnknownNameError for another name; DataError for a split that it does not have; ConfigError for sizes.
    """
    if source not in FLOW_SETS:
        raise unknown_name("set of clips with flow", source, FLOW_SETS)
    return FLOW_SETS[source](split, clips=clips, size=size, dt=dt)
