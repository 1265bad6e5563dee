"""Delta coding: a spike when the signal has moved on by a threshold."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spikedrive.neurons.neuron import check_count, check_number
from spikedrive.ops import checks, equation
from spikedrive.ops.domain import Domain, Integer
from spikedrive.state import Stateful


class Delta(Stateful):
    """Send each threshold that the signal has crossed since the last spike, up or down.

    *Equation*, with threshold th and L levels, from n = 0:

        s_t = trunc(clip((x_t - th n) / th, -L, L))
        n   = n + s_t
        output  y_t = th s_t

    so th n follows x, and lies within th of it wherever x moves by less than L th a step. `Accumulate` of
    y gives th n back.

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Units*: the threshold in units of x.
    *Multiplies*: none: comparisons with thresholds; th folds into the next weight.
    *Raises*: ConfigError for a threshold of zero or less, or levels below 1; ShapeError, DtypeError.

    No gradient reaches x.

    >>> Delta(0.5)(torch.tensor([0.6, 0.9, 1.2, 0.1]).view(4, 1, 1)).flatten().tolist()
    [0.5, 0.0, 0.5, -0.5]
    """

    def __init__(self, threshold: float, levels: int = 1) -> None:
        super().__init__()
        check_number("Delta", "threshold", threshold, above=0)
        check_count("Delta", "levels", levels)
        self.threshold, self.levels = float(threshold), int(levels)

    @property
    def domain(self) -> Domain:
        """Integers from -levels to levels times the threshold; ternary for one level."""
        return Integer(self.levels, self.threshold, -self.levels)

    def rest(self, x: Tensor) -> Tensor:
        """Nothing was sent yet."""
        return torch.zeros_like(x[0])

    def scan(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The spikes, and the sum of all so far (in thresholds)."""
        checks.scan_input("Delta", x, state)
        return delta_code_scan(x.detach(), state, self.levels, self.threshold)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"threshold={self.threshold:g}, levels={self.levels}"


def _equation(x: Tensor, sent: Tensor, levels: int, threshold: float) -> tuple[Tensor, Tensor]:
    spikes = []
    for x_t in x.unbind(0):
        s = ((x_t - threshold * sent) / threshold).clamp(-levels, levels).trunc()
        sent = sent + s
        spikes.append(s)
    return threshold * torch.stack(spikes), sent


def _domain(arguments: Any) -> Domain:
    return Integer(arguments["levels"], arguments["threshold"], -arguments["levels"])


delta_code_scan = equation.define(
    "delta_code_scan",
    "(Tensor x, Tensor sent, int levels, float threshold) -> (Tensor, Tensor)",
    _equation,
    domain=_domain,
)
