"""snnTorch's Leaky and Synaptic, which are called step by step, and hand out their membrane.

*Equation* of Synaptic: i = alpha i + x, which Leaky then takes for its input.
*Multiplies*: alpha, once a step.
*Source*: snnTorch 1.0.0. *Where we differ*: nothing that is hidden in a layer is kept from one call of the model to
the next, as after `utils.reset`; the surrogate is ours, so the copy's gradients are not theirs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.interop.libraries.cells import Cell, InexactError, number, steps_at
from spikedrive.neurons import LIF

SUBTRACT, ZERO, NONE = "subtract", "zero", "none"


class LeakyCell(Cell):
    """Takes (x, mem) and gives (spikes, mem), or spikes alone where the state is hidden."""

    def __init__(self, neuron: LIF, shows_state: bool) -> None:
        super().__init__(neuron)
        self.shows_state = shows_state

    @property
    def mem(self) -> Tensor:
        """The membrane after the last step."""
        return torch.zeros(0) if self.kept is None else self.kept

    def reset_mem(self) -> Tensor:
        """Forget the membrane; what is given stands for one at rest."""
        self.kept = None
        return self.mem

    init_leaky = reset_mem

    def forward(self, x: Tensor, mem: Tensor | None = None) -> Any:
        """Spikes (B, ...), and the membrane (B, ...) before its reset."""
        spikes, self.kept = self.step(x, _known(self.kept if mem is None else mem, x))
        return (spikes, self.kept) if self.shows_state else spikes


class SynapticCell(Cell):
    """Takes (x, syn, mem) and gives (spikes, syn, mem), or spikes alone where the state is hidden."""

    def __init__(self, neuron: LIF, alpha: float, shows_state: bool) -> None:
        super().__init__(neuron)
        self.alpha, self.shows_state = alpha, shows_state

    def reset_mem(self) -> tuple[Tensor, Tensor]:
        """Forget current and membrane; what is given stands for both at rest."""
        self.kept = None
        return torch.zeros(0), torch.zeros(0)

    init_synaptic = reset_mem

    def forward(self, x: Tensor, syn: Tensor | None = None, mem: Tensor | None = None) -> Any:
        """Spikes (B, ...), the current and the membrane before its reset."""
        kept_syn, kept_mem = self.kept or (None, None)
        before = _known(kept_syn if syn is None else syn, x)
        current = x if before is None else self.alpha * before + x
        spikes, membrane = self.step(current, _known(kept_mem if mem is None else mem, x))
        self.kept = current, membrane
        return (spikes, current, membrane) if self.shows_state else spikes


def _known(state: Tensor | None, x: Tensor) -> Tensor | None:
    """A state of another shape, like the empty one that they start with, means rest."""
    return None if state is None or state.shape != x.shape else state


def keeps_state(module: nn.Module) -> bool:
    """Whether it is one of their neurons."""
    return any(c.__name__ == "SpikingNeuron" for c in type(module).__mro__)


def forget(module: Any) -> None:
    """Bring one of their neurons to rest."""
    module.reset_mem()


def convert(module: Any, most: int | None) -> Cell:
    """The same neuron of ours.

    *Raises*: InexactError.
    """
    return NEURONS[type(module).__name__](module)


def _leaky(m: Any) -> LeakyCell:
    if m.reset_mechanism == SUBTRACT and not m.reset_delay:
        raise InexactError(
            "reset_delay=False subtracts again where the membrane is above twice the threshold; set "
            'reset_delay=True, or reset_mechanism="zero"'
        )
    return LeakyCell(_lif(m), _shows_state(m))


def _synaptic(m: Any) -> SynapticCell:
    if m.reset_mechanism != SUBTRACT or not m.reset_delay:
        raise InexactError(
            'of its resets only reset_mechanism="subtract" with reset_delay=True has a counterpart'
        )
    return SynapticCell(_lif(m), min(1.0, max(0.0, number(m.alpha, "alpha"))), _shows_state(m))


def _lif(m: Any) -> LIF:
    if m.reset_mechanism == NONE:
        raise InexactError('reset_mechanism="none" never resets')
    if m.inhibition or m.state_quant:
        raise InexactError(f"it has {'inhibition' if m.inhibition else 'a quantised state'}")
    if number(m.graded_spikes_factor, "graded_spikes_factor") != 1.0:
        raise InexactError("its spikes are graded")
    steps_at(m.spike_grad, 0.0)
    return LIF(
        min(1.0, max(0.0, number(m.beta, "beta"))), number(m.threshold, "threshold"), decay_input=False, strict=True,
        reset="soft" if m.reset_mechanism == SUBTRACT else "hard", delayed_reset=bool(m.reset_delay),
    )  # fmt: skip


def _shows_state(m: Any) -> bool:
    return bool(m.output or not m.init_hidden)


NEURONS = {"Leaky": _leaky, "Synaptic": _synaptic}
"""By class name: what gives the cell."""
