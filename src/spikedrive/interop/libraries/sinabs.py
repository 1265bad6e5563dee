"""Sinabs's IAF and LIF, whose layout is (B, T, ...), or (B T, ...) where squeezed.

A neuron that fires several times a step is an `ILIF` on a membrane that stands half a threshold lower, since it rounds
down and `ILIF` rounds to the nearest:

    h - th / 2 = d (v - th / 2) + x - (1 - d) th / 2,   floor(h / th) = floor((h - th / 2) / th + 1 / 2)

*Multiplies*: the current's decay, once a step, where there is one.
*Source*: Sinabs 3.1.3. *Where we differ*: nothing is kept from one call of the model to the next, as after
`reset_states`; the surrogate is ours, so the copy's gradients are not theirs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.interop.libraries.cells import Cell, InexactError, number
from spikedrive.neurons import IF, ILIF, LIF


class LayerCell(Cell):
    """Takes (B, T, ...), or (B T, ...) where `sizes` are B and T, one of them -1.

    `share` is what is left of the current before it charges; None for a neuron without one. `shift` is added to the
    input, and `start` is the membrane at rest.
    """

    def __init__(
        self, neuron: IF | LIF | ILIF, *, share: float | None, shift: float, start: float,
        sizes: tuple[int, int] | None,
    ) -> None:  # fmt: skip
        super().__init__(neuron)
        self.share, self.shift, self.start, self.sizes = share, shift, start, sizes

    def forward(self, x: Tensor) -> Tensor:
        """Spikes in the shape of x."""
        apart = x if self.sizes is None else x.reshape(*self.sizes, *x.shape[1:])
        xs = apart.transpose(0, 1)
        v, i = (torch.full_like(xs[0], self.start), None) if self.kept is None else self.kept
        if self.share is not None:
            currents = []
            for now in xs.unbind(0):
                i = self.share * (now if i is None else i + now)
                currents.append(i)
            xs = torch.stack(currents)
        spikes, v = self.neuron.scan(xs + self.shift if self.shift else xs, v)
        self.kept = v, i
        apart = spikes.transpose(0, 1)
        return apart if self.sizes is None else apart.flatten(0, 1)


def keeps_state(module: nn.Module) -> bool:
    """Whether it is one of their layers with a state."""
    return any(c.__name__ == "StatefulLayer" for c in type(module).__mro__)


def forget(module: Any) -> None:
    """Bring one of their layers to rest."""
    module.reset_states()


def convert(module: Any, most: int | None) -> LayerCell:
    """The same neuron of ours; `most` bounds the integers of one that has no bound itself.

    *Raises*: InexactError.
    """
    if module.min_v_mem is not None:
        raise InexactError("its membrane has a lower bound; set min_v_mem=None")
    threshold = number(module.spike_threshold, "spike_threshold")
    decay = number(module.alpha_mem_calculated, "tau_mem")
    gain = 1 - decay if module.norm_input else 1.0
    syn = module.alpha_syn_calculated
    reset = _reset(module.reset_fn, threshold)
    levels = _levels(module.spike_fn, most)
    start = shift = 0.0
    if levels is None:
        neuron: Any = (
            IF(threshold, reset=reset)
            if decay == 1.0
            else LIF(decay, threshold, decay_input=module.norm_input, reset=reset)
        )
    else:
        if reset == "hard":
            raise InexactError("it fires several times a step and then resets to zero")
        neuron = ILIF(levels, threshold, carry=True, decay=decay, decay_input=module.norm_input,
                      rounding="half_up", gate="open")  # fmt: skip
        start = -threshold / 2
        shift = (1 - decay) * start / gain if decay < 1 else 0.0
    sizes = (module.batch_size, module.num_timesteps) if hasattr(module, "num_timesteps") else None
    share = None if syn is None else number(syn, "tau_syn")
    return LayerCell(neuron, share=share, shift=shift, start=start, sizes=sizes)


def _reset(reset_fn: Any, threshold: float) -> Any:
    kind = type(reset_fn).__name__
    if kind == "MembraneSubtract" and reset_fn.subtract_value in (None, threshold):
        return "soft"
    if kind == "MembraneReset" and reset_fn.reset_value == 0:
        return "hard"
    raise InexactError(f"its reset_fn {reset_fn} neither subtracts the threshold nor resets to zero")


def _levels(spike_fn: Any, most: int | None) -> int | None:
    """The most spikes a step; None for a neuron that fires once."""
    kind = getattr(spike_fn, "__name__", type(spike_fn).__name__)
    if kind == "SingleSpike":
        return None
    if kind not in ("MaxSpike", "MultiSpike"):
        raise InexactError(f"its spike_fn {kind} is none of SingleSpike, MaxSpike and MultiSpike")
    own = getattr(spike_fn, "max_num_spikes_per_bin", None) if kind == "MaxSpike" else None
    bound = most if own is None else own
    if bound is None:
        raise InexactError(
            "its spikes a step have no bound, and so no width or cost; set spike_fn=MaxSpike(n), or audit "
            "as_ours(model, most=n)"
        )
    return int(bound)


NEURONS = ("IAF", "IAFSqueeze", "LIF", "LIFSqueeze")
"""The classes that `convert` takes."""
