"""Quantised clip and floor: an activation to train with, and the integrate-and-fire neuron that it becomes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.neuron import Neuron, check_count, check_number
from spikedrive.ops import checks, equation, surrogate
from spikedrive.ops.domain import Binary, Domain, Integer
from spikedrive.ops.lif import lif_scan

_SMALLEST_CEILING = 1e-5


def _equation(x: Tensor, v: Tensor, ceiling: Tensor, levels: int) -> tuple[Tensor, Tensor]:
    u = x / ceiling * levels + 0.5
    if torch.is_grad_enabled():
        # straight through the floor, and closed where the rounded value leaves 0..L
        whole = (u.floor().detach() + (u - u.detach())).clamp(0, levels)
    else:
        # the same number, whose bounds are known before it is rounded
        whole = u.clamp(0, levels).floor()
    # an operation returns no argument of its own
    return whole, v.clone()


_qcfs_scan = equation.define(
    "qcfs_scan",
    "(Tensor x, Tensor v, Tensor ceiling, int levels) -> (Tensor, Tensor)",
    _equation,
    domain=lambda arguments: Integer(int(arguments["levels"])),
)


@register_neuron
class QCFS(Neuron):
    """An integer activation with a learned ceiling, and with `spiking` the spikes that have its rate.

    *Equation*, with L levels and ceiling c:

        y = (c / L) clip(floor(x L / c + 1/2), 0, L)                 trained, in one step
        IF on x / c, threshold 1, soft reset, v = 1/2 at the start; y = c s   with spiking=True

    On a constant input the mean of L spiking steps is the trained answer exactly, and that of many steps tends to
    clip(x, 0, c). Both forms hold the same weight, so that one file serves both. Backward of the first: dy/dx is 1
    where the rounded value is in 0..L, dy/dc is y / c - x / c there and 1 above.

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Multiplies*: none: the ceiling folds into the weights on both sides.
    *Raises*: ConfigError for levels below 1 or a ceiling of zero or less.
    *Source*: QCFS (arXiv 2303.04347); `modules_QCFS.py` of bic-L/Masked-Spiking-Transformer, L = 16.

    >>> QCFS(levels=4, ceiling=2.0)(torch.tensor([-1.0, 0.3, 0.8, 9.0]).view(1, 1, 4)).flatten().tolist()
    [0.0, 0.5, 1.0, 2.0]
    """

    ceiling: Tensor

    def __init__(
        self, levels: int = 16, ceiling: float = 2.0, *, spiking: bool = False, learn_ceiling: bool = True
    ) -> None:
        super().__init__()
        check_count("QCFS", "levels", levels)
        check_number("QCFS", "ceiling", ceiling, above=0)
        self.levels, self.spiking = int(levels), spiking
        first = torch.full((1,), float(ceiling))
        if learn_ceiling:
            self.ceiling = nn.Parameter(first)
        else:
            self.register_buffer("ceiling", first)

    @property
    def domain(self) -> Domain:
        """Integers 0..L times c / L; binary times c with `spiking`."""
        # on the meta device there are shapes and no numbers
        known = 1.0 if self.ceiling.is_meta else float(self.ceiling.detach())
        ceiling = max(known, _SMALLEST_CEILING)
        return Binary(ceiling) if self.spiking else Integer(self.levels, ceiling / self.levels)

    def rest(self, x: Float[Tensor, "T B *S"]) -> Float[Tensor, "B *S"]:
        """Half a threshold, which rounds to nearest; nothing without `spiking`."""
        return torch.full_like(x[0], 0.5 if self.spiking else 0.0)

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S"]
    ) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "B *S"]]:
        """Spikes or integers times their scale, and the last membrane."""
        checks.scan_input("QCFS", x, state)
        ceiling = self.ceiling.clamp(min=_SMALLEST_CEILING).to(x.dtype)
        if self.spiking:
            s, last = lif_scan(
                x / ceiling, state, decay=1.0, threshold=1.0, surrogate=surrogate.sigmoid(), decay_input=False,
                hard_reset=False,
            )  # fmt: skip
            return s * ceiling, last
        s, last = _qcfs_scan(x, state, ceiling, self.levels)
        return s * (ceiling / self.levels), last

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"levels={self.levels}, spiking={self.spiking}"
