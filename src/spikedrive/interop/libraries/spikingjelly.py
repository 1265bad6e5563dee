"""SpikingJelly's neurons, in both step modes.

*Source*: SpikingJelly 2.0.0, `activation_based.neuron`. *Where we differ*: nothing is kept from one call of the model
to the next, as after `functional.reset_net`; the surrogate is ours, so the copy's gradients are not theirs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.interop.libraries.cells import Cell, InexactError, number, steps_at
from spikedrive.neurons import IF, ILIF, LIF, PLIF, Neuron, TernaryLIF


class Node(Cell):
    """Takes (T, B, ...) in step mode "m" and (B, ...) in step mode "s", and keeps its membrane as `v`."""

    def __init__(self, neuron: Neuron, step_mode: str) -> None:
        super().__init__(neuron)
        self.step_mode = step_mode

    @property
    def v(self) -> Tensor | float:
        """The membrane after the last step."""
        return getattr(self.neuron, "reset_value", 0.0) if self.kept is None else self.kept

    def reset(self) -> None:
        """Forget the membrane."""
        self.kept = None

    def forward(self, x: Tensor) -> Tensor:
        """Spikes in the shape of x."""
        if self.step_mode == "s":
            spikes, self.kept = self.step(x, self.kept)
            return spikes
        spikes, self.kept = self.neuron.scan(x, self.neuron.rest(x) if self.kept is None else self.kept)
        return spikes


def keeps_state(module: nn.Module) -> bool:
    """Whether it remembers something from step to step; a dropout's mask is none in eval mode."""
    return bool(getattr(module, "_memories", None)) and not type(module).__name__.startswith("Dropout")


def forget(module: Any) -> None:
    """Bring one of their modules to rest."""
    module.reset()


def convert(module: Any, most: int | None) -> Node:
    """The same neuron of ours.

    *Raises*: InexactError.
    """
    return Node(NEURONS[type(module).__name__](module), module.step_mode)


def _fires(m: Any) -> dict[str, Any]:
    """What every one of them has: threshold and reset."""
    if getattr(m, "_neuron_precision", None) is not None:
        raise InexactError("its membrane is kept in a narrower format")
    reset: dict[str, Any] = (
        {"reset": "soft"}
        if m.v_reset is None
        else {"reset": "hard", "reset_value": number(m.v_reset, "v_reset")}
    )
    return {"threshold": number(m.v_threshold, "v_threshold"), "detach_reset": m.detach_reset, **reset}


def _binary(m: Any) -> dict[str, Any]:
    steps_at(m.surrogate_function, 1.0)
    return _fires(m)


def _lif(m: Any) -> LIF:
    return LIF(1 - 1 / m.tau, decay_input=m.decay_input, **_binary(m))


def _plif(m: Any) -> PLIF:
    neuron = PLIF(decay_input=m.decay_input, **_binary(m)).to(m.w.device, m.w.dtype)
    with torch.no_grad():
        neuron.w.copy_(m.w)
    return neuron


def _ilif(m: Any) -> ILIF:
    levels = number(m.surrogate_function(torch.tensor([1e6])), "number of levels")
    return ILIF(
        int(levels),
        number(m.v_threshold, "v_threshold"),
        carry=True,
        decay=1 - 1 / m.tau,
        detach_reset=m.detach_reset,
    )


NEURONS = {
    "IFNode": lambda m: IF(**_binary(m)),
    "SimpleIFNode": lambda m: IF(**_binary(m)),
    "LIFNode": _lif,
    "SimpleLIFNode": _lif,
    "ParametricLIFNode": _plif,
    "ILIFNode": _ilif,
    "TernaryIFNode": lambda m: TernaryLIF(1.0, decay_input=False, **_fires(m)),
    "TernaryLIFNode": lambda m: TernaryLIF(1 - 1 / m.tau, decay_input=m.decay_input, **_fires(m)),
}
"""By class name: what gives the neuron of ours."""
