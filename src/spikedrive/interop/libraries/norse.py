"""Norse's leaky and plain integrate-and-fire neurons and its integrators, with their explicit state.

*Equation* of LIF, with g = dt tau_mem_inv and a = 1 - dt tau_syn_inv: i = i + x; `LIF` of decay 1 - g on i; i = a i.
LIFBox has no current, IAF neither current nor leak; LI and LIBox do not fire, and hand out v = v + g (v_leak - v + i).
*Multiplies*: a, once a step; g, where no weight takes it.
*Source*: Norse 1.1.0. *Where we differ*: the surrogate is ours, so the copy's gradients are not theirs.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.interop.libraries.cells import Cell, InexactError, number, steps_at
from spikedrive.neurons import IF, LIF

BASES = ("SNNCell", "SNN", "SNNRecurrentCell", "SNNRecurrent", "CobaLIFCell", "LIFCorrelation")


class StateCell(Cell):
    """Takes (x, state) and gives (spikes, state): one step, or T of them where `over_time`.

    `state` is their named tuple of v and i; `share` is what is left of the current after a step, None without one.
    """

    def __init__(
        self, neuron: LIF | IF, state: Any, rest: float, share: float | None, over_time: bool
    ) -> None:
        super().__init__(neuron)
        self.state, self.at_rest, self.share, self.over_time = state, rest, share, over_time

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Spikes in the shape of x, and the state after them."""
        xs = x if self.over_time else x.unsqueeze(0)
        xs, v, i = _charge(xs, state, self.at_rest, self.share)
        spikes, v = self.neuron.scan(xs, v)
        return spikes if self.over_time else spikes.squeeze(0), _left(self.state, v, i)


class IntegratorCell(nn.Module):
    """Takes (x, state) and gives (membrane, state); `gain` is the share of the way that a step goes."""

    def __init__(self, gain: float, state: Any, rest: float, share: float | None, over_time: bool) -> None:
        super().__init__()
        self.gain, self.state, self.at_rest, self.share, self.over_time = gain, state, rest, share, over_time

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Membranes in the shape of x, and the state after them."""
        xs = x if self.over_time else x.unsqueeze(0)
        xs, v, i = _charge(xs, state, self.at_rest, self.share)
        membranes = []
        for current in xs.unbind(0):
            v = (1 - self.gain) * v + self.gain * (current + self.at_rest)
            membranes.append(v)
        return torch.stack(membranes) if self.over_time else v, _left(self.state, v, i)


def _charge(xs: Tensor, state: Any, rest: float, share: float | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """What charges the membrane at each step (T, B, ...), the membrane before them, and the current after them."""
    v = torch.full_like(xs[0], rest) if state is None else state.v.expand_as(xs[0])
    if share is None:
        return xs, v, None
    i = None if state is None else state.i
    charged = []
    for x in xs.unbind(0):
        charged.append(x if i is None else i + x)
        i = share * charged[-1]
    return torch.stack(charged), v, i


def _left(state: Any, v: Tensor, i: Tensor | None) -> Any:
    return state(v=v) if i is None else state(v=v, i=i)


def keeps_state(module: nn.Module) -> bool:
    """Whether it is one of their neurons or integrators."""
    return any(c.__name__ in BASES for c in type(module).__mro__)


def forget(module: Any) -> None:
    """Their state is handed in, so there is nothing to forget."""


def convert(module: Any, most: int | None) -> nn.Module:
    """The same neuron of ours.

    *Raises*: InexactError.
    """
    if getattr(module, "record_states", False):
        raise InexactError("it records the state of every step; set record_states=False")
    return NEURONS[type(module).__name__](module, module.p)


def _lif(m: Any, p: Any) -> StateCell:
    return StateCell(_leaky(m, p, "hard"), *_place(m, p.v_leak, "lif.LIFFeedForwardState", _share(m, p)))


def _lif_box(m: Any, p: Any) -> StateCell:
    kinds: dict[str, Any] = {"reset_value": "hard", "reset_subtract": "soft"}
    name = getattr(p.reset_method, "__name__", repr(p.reset_method))
    if name not in kinds:
        raise InexactError(f"its reset_method {name} is neither reset_value nor reset_subtract")
    return StateCell(_leaky(m, p, kinds[name]), *_place(m, p.v_leak, "lif_box.LIFBoxFeedForwardState", None))


def _iaf(m: Any, p: Any) -> StateCell:
    neuron = IF(_threshold(p), reset_value=number(p.v_reset, "v_reset"), strict=True)
    return StateCell(neuron, *_place(m, p.v_reset, "iaf.IAFFeedForwardState", None))


def _li(m: Any, p: Any) -> IntegratorCell:
    return IntegratorCell(_gain(m, p), *_place(m, p.v_leak, "leaky_integrator.LIState", _share(m, p)))


def _li_box(m: Any, p: Any) -> IntegratorCell:
    return IntegratorCell(_gain(m, p), *_place(m, p.v_leak, "leaky_integrator_box.LIBoxState", None))


def _leaky(m: Any, p: Any, reset: Any) -> LIF:
    rest = number(p.v_leak, "v_leak")
    if reset == "hard" and rest != number(p.v_reset, "v_reset"):
        raise InexactError("it leaks towards v_leak and resets to another v_reset")
    return LIF(1 - _gain(m, p), _threshold(p), reset=reset, reset_value=rest, strict=True)


def _threshold(p: Any) -> float:
    # the model holds their classes, so the package is there
    fires = importlib.import_module("norse.torch.functional.threshold").threshold
    steps_at(lambda v: fires(v, p.method, p.alpha), 0.0)
    return number(p.v_th, "v_th")


def _gain(m: Any, p: Any) -> float:
    return m.dt * number(p.tau_mem_inv, "tau_mem_inv")


def _share(m: Any, p: Any) -> float:
    return 1 - m.dt * number(p.tau_syn_inv, "tau_syn_inv")


def _place(m: Any, rest: Any, state: str, share: float | None) -> tuple[Any, float, float | None, bool]:
    """Their class of state, the membrane at rest, the share, and whether x has an axis of time."""
    module, _, name = state.partition(".")
    named = getattr(importlib.import_module(f"norse.torch.functional.{module}"), name)
    return named, number(rest, "membrane at rest"), share, any(c.__name__ == "SNN" for c in type(m).__mro__)


NEURONS = {
    "LIFCell": _lif, "LIF": _lif, "LIFBoxCell": _lif_box, "IAFCell": _iaf, "IAF": _iaf,
    "LICell": _li, "LI": _li, "LIBoxCell": _li_box,
}  # fmt: skip
"""By class name: what gives the cell."""
