"""Legendre memory units built of spiking populations."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.neurons._registry import register_cell
from spikedrive.neurons.legendre import legendre_matrices
from spikedrive.neurons.neuron import Neuron, check_count, check_number
from spikedrive.ops import checks, equation
from spikedrive.ops import surrogate as surrogates
from spikedrive.ops.domain import Binary, Domain
from spikedrive.ops.surrogate import Surrogate

_POPULATIONS = ("u", "m", "h")


@register_cell
class L2MU(Neuron):
    """An input, a memory and a hidden population that exchange nothing but spikes.

    *Equation*, for each step; s are spikes, M memories of order d, (A, B) those of `legendre_matrices`:

        I_u = W_ux x + W_uh s_h + W_um s_m
        I_m = A s_m + B s_u           (for each of the M memories)
        I_h = W_hx x + W_hh s_h + W_hm s_m

    with the new s_u in I_m and the new s_m in I_h; W_um starts at zero. Each population, with its own learned
    decay b (limited to 0..1) and threshold:

        current  c = current_decay c + I            (0: c = I, a plain leaky neuron)
        charge   v = b v + c - threshold s          (s of the step before, a constant here backward)
        fire     s = 1 where v > threshold

    *Shapes*: x (T, B, ..., inputs) -> (T, B, ..., features), the hidden spikes.
    *Units*: the window in steps; decays are the share kept per step.
    *Multiplies*: the leaks of the three populations (unless powers of two); all weights meet spikes, but W_ux
    and W_hx meet whatever x is.
    *Raises*: ConfigError for a size below 1, a decay outside 0..1, a threshold or window of zero or less;
    ShapeError for an input of another width.
    *Source*: L2MU and its Braille code, on snnTorch's Leaky: strict threshold, reset one step late. That code
    applies A transposed by mistake; `transposed=True` does so too, for its checkpoints.

    >>> L2MU(3, 5, memories=2, order=4, window=8)(torch.zeros(2, 1, 3)).shape
    torch.Size([2, 1, 5])
    """

    A: Tensor
    B: Tensor

    def __init__(
        self,
        inputs: int,
        features: int,
        *,
        memories: int,
        order: int,
        window: float,
        decays: tuple[float, float, float] = (0.5, 0.5, 0.5),
        thresholds: tuple[float, float, float] = (0.5, 0.5, 0.5),
        current_decay: float = 0.0,
        transposed: bool = False,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__()
        for name, size in (
            ("inputs", inputs),
            ("features", features),
            ("memories", memories),
            ("order", order),
        ):
            check_count("L2MU", name, size)
        check_number("L2MU", "window", window, above=0)
        check_number("L2MU", "current_decay", current_decay, low=0, high=1)
        for population, decay, threshold in zip(_POPULATIONS, decays, thresholds, strict=True):
            check_number("L2MU", f"the decay of {population}", decay, low=0, high=1)
            check_number("L2MU", f"the threshold of {population}", threshold, above=0)
        self.inputs, self.features, self.memories, self.order = inputs, features, memories, order
        self.current_decay, self.transposed = float(current_decay), transposed
        self.surrogate = surrogate or surrogates.atan()
        a, b = legendre_matrices(order, window)
        self.register_buffer("A", a.float())
        self.register_buffer("B", b.float())
        coded = memories * order
        self.u_from_x = nn.Parameter(_lecun_uniform(memories, inputs))
        self.u_from_h = nn.Parameter(_lecun_uniform(memories, features))
        self.u_from_m = nn.Parameter(torch.zeros(memories, coded))
        self.h_from_x = nn.Parameter(nn.init.xavier_normal_(torch.empty(features, inputs)))
        self.h_from_h = nn.Parameter(nn.init.xavier_normal_(torch.empty(features, features)))
        self.h_from_m = nn.Parameter(nn.init.xavier_normal_(torch.empty(features, coded)))
        self.decays = nn.Parameter(torch.tensor(decays))
        self.thresholds = nn.Parameter(torch.tensor(thresholds))

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    def rest(self, x: Float[Tensor, "T B *S"]) -> tuple[Tensor, ...]:
        """Three membranes and three currents of zero."""
        sizes = (self.memories,), (self.memories, self.order), (self.features,)
        zeros = [x.new_zeros(*x.shape[1:-1], *size) for size in sizes]
        return *zeros, *map(torch.zeros_like, zeros)

    def scan(
        self, x: Float[Tensor, "T B *S"], state: tuple[Tensor, ...]
    ) -> tuple[Float[Tensor, "T B *S2"], tuple[Tensor, ...]]:
        """The hidden spikes, and the membranes and currents of the populations."""
        checks.cell_input("L2MU", x, self.inputs)
        spikes, *last = l2mu_scan(
            x, *state, self.u_from_x, self.u_from_h, self.u_from_m, self.h_from_x, self.h_from_h, self.h_from_m,
            self.A.T if self.transposed else self.A, self.B, self.decays.clamp(0, 1), self.thresholds,
            self.current_decay, self.surrogate.name, self.surrogate.alpha,
        )  # fmt: skip
        return spikes, tuple(last)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"inputs={self.inputs}, features={self.features}, memories={self.memories}, order={self.order}"


def _lecun_uniform(rows: int, columns: int) -> Tensor:
    bound = (3 / columns) ** 0.5
    return torch.empty(rows, columns).uniform_(-bound, bound)


def _equation(
    x: Tensor,
    v_u: Tensor,
    v_m: Tensor,
    v_h: Tensor,
    c_u: Tensor,
    c_m: Tensor,
    c_h: Tensor,
    u_from_x: Tensor,
    u_from_h: Tensor,
    u_from_m: Tensor,
    h_from_x: Tensor,
    h_from_h: Tensor,
    h_from_m: Tensor,
    a: Tensor,
    b: Tensor,
    decays: Tensor,
    thresholds: Tensor,
    current_decay: float,
    surrogate: str,
    alpha: float,
) -> tuple[Tensor, ...]:
    linear = torch.nn.functional.linear
    b_u, b_m, b_h = decays.unbind(0)
    t_u, t_m, t_h = thresholds.unbind(0)

    def fired(v: Tensor, threshold: Tensor) -> Tensor:
        return equation.fire(v - threshold, surrogate, alpha, True)

    # a membrane says whether it fired at its last step
    s_u, s_m, s_h = fired(v_u, t_u), fired(v_m, t_m), fired(v_h, t_h)
    spikes = []
    for x_u, x_h in zip(linear(x, u_from_x).unbind(0), linear(x, h_from_x).unbind(0), strict=True):
        c_u = current_decay * c_u + x_u + linear(s_h, u_from_h) + linear(s_m.flatten(-2), u_from_m)
        v_u = b_u * v_u + c_u - t_u * s_u.detach()
        s_u = fired(v_u, t_u)
        c_m = current_decay * c_m + linear(s_m, a) + s_u[..., None] * b
        v_m = b_m * v_m + c_m - t_m * s_m.detach()
        s_m = fired(v_m, t_m)
        c_h = current_decay * c_h + x_h + linear(s_h, h_from_h) + linear(s_m.flatten(-2), h_from_m)
        v_h = b_h * v_h + c_h - t_h * s_h.detach()
        s_h = fired(v_h, t_h)
        spikes.append(s_h)
    return torch.stack(spikes), v_u, v_m, v_h, c_u, c_m, c_h


l2mu_scan = equation.define(
    "l2mu_scan",
    "(Tensor x, Tensor v_u, Tensor v_m, Tensor v_h, Tensor c_u, Tensor c_m, Tensor c_h, Tensor u_from_x, "
    "Tensor u_from_h, Tensor u_from_m, Tensor h_from_x, Tensor h_from_h, Tensor h_from_m, Tensor a, Tensor b, "
    "Tensor decays, Tensor thresholds, float current_decay, str surrogate, float alpha) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    _equation,
    domain=lambda _: Binary(),
)
