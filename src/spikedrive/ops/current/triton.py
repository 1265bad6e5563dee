"""The current-based leaky scan in Triton; it saves what `spikedrive.ops.lif.native` saves."""

from __future__ import annotations

from torch import Tensor

from spikedrive.ops import layout
from spikedrive.ops.lif.native import NONE, saved_like, saving
from spikedrive.ops.lif.options import Options
from spikedrive.ops.lif.triton import run, run_back

__all__ = ["backward", "forward", "saved_like"]


def forward(
    x: Tensor, v: Tensor | None, c: Tensor | None, current_decay: float, o: Options
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `reference.forward`; the last is what `backward` reads."""
    x = layout.by_steps(x)
    saved = saved_like(x, o) if o.save else x.new_empty(0)
    spikes, last_v, last_c = run(x, v, c, o, saving(o, x.dtype) if o.save else NONE, saved, current_decay)
    return spikes, last_v, last_c, saved


def backward(
    grad_spikes: Tensor,
    grad_v: Tensor | None,
    grad_c: Tensor | None,
    saved: Tensor,
    current_decay: float,
    o: Options,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.backward`; grad_spikes has the strides of the scan's x."""
    mode = saving(o, grad_spikes.dtype)
    return run_back(grad_spikes, grad_v, grad_c, saved, None, None, o, mode, current_decay)[:3]
