"""The event-gated recurrent unit: a GRU whose units speak only when they cross a threshold."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.neurons._registry import register_cell
from spikedrive.neurons.neuron import Neuron, check_count, check_number
from spikedrive.ops import checks, equation


@register_cell
class EGRU(Neuron):
    """A gated cell that emits its value when it is above its threshold, and nothing otherwise.

    *Equation*, from c = y = 0, the parts z, r, g along the last axis of 3 H:

        a = x W + b, q = y R + p
        z = sigmoid(a_z + q_z), r = sigmoid(a_r + q_r), g = tanh(a_g + r q_g)
        charge  h = z c + (1 - z) g
        fire    e = 1 where h > threshold, else 0
        reset   c = h - threshold e
        output  y = e h

    Backward: de/dh = damping max(0, 1 - support |h - threshold|), in the reset too. The threshold is one a
    unit, learned, and limited to 0..1 at each call.

    *Shapes*: x (T, B, ..., inputs) -> (T, B, ..., features); the state is (c, y).
    *Multiplies*: everything a GRU does: it emits graded events, so the audit names the gates, their
    products, and both matrix products. What it saves are the rows of R where nothing spoke.
    *Raises*: ConfigError for a size below 1, a damping or support of zero or less, or a mean threshold
    outside 0..1; ShapeError for an input of another width.
    *Source*: EGRU (arXiv 2206.06178) and EvNN (its PyTorch path). The original carries y from one chunk to
    the next and starts c at zero again; `run` carries both, so that chunks equal the whole.

    >>> EGRU(3, 5)(torch.zeros(4, 2, 3)).shape
    torch.Size([4, 2, 5])
    """

    def __init__(
        self,
        inputs: int,
        features: int,
        *,
        mean_threshold: float = 0.3,
        damping: float = 0.7,
        support: float = 1.0,
    ) -> None:
        super().__init__()
        check_count("EGRU", "inputs", inputs)
        check_count("EGRU", "features", features)
        check_number("EGRU", "mean_threshold", mean_threshold, above=0, high=0.99)
        check_number("EGRU", "damping", damping, above=0)
        check_number("EGRU", "support", support, above=0)
        self.inputs, self.features = int(inputs), int(features)
        self.damping, self.support = float(damping), float(support)
        self.input_weight = nn.Parameter(torch.empty(inputs, 3 * features))
        self.recurrent_weight = nn.Parameter(torch.empty(features, 3 * features))
        self.input_bias = nn.Parameter(torch.zeros(3 * features))
        self.recurrent_bias = nn.Parameter(torch.zeros(3 * features))
        self.threshold = nn.Parameter(torch.full((features,), float(mean_threshold)))
        # on the meta device there are shapes and no numbers
        if not self.threshold.is_meta:
            # a beta distribution with this mean
            alpha = 3 * mean_threshold / (1 - mean_threshold)
            self.threshold.data.copy_(torch.distributions.Beta(alpha, 3.0).sample((features,)))
        for weight in (self.input_weight, self.recurrent_weight):
            nn.init.uniform_(weight, -1 / math.sqrt(features), 1 / math.sqrt(features))

    @property
    def domain(self) -> None:
        """Real numbers."""
        return

    def rest(self, x: Float[Tensor, "T B *S"]) -> tuple[Tensor, Tensor]:
        """An empty cell that said nothing."""
        c = x.new_zeros(*x.shape[1:-1], self.features)
        return c, torch.zeros_like(c)

    def scan(
        self, x: Float[Tensor, "T B *S"], state: tuple[Tensor, Tensor]
    ) -> tuple[Float[Tensor, "T B *S2"], tuple[Tensor, Tensor]]:
        """The events, and the cell with its last event."""
        checks.cell_input("EGRU", x, self.inputs)
        y, c, last = egru_scan(
            x, *state, self.input_weight, self.recurrent_weight, self.input_bias, self.recurrent_bias,
            self.threshold.clamp(0, 1), self.damping, self.support,
        )  # fmt: skip
        return y, (c, last)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"inputs={self.inputs}, features={self.features}"


class _Event(torch.autograd.Function):
    """1 above zero, with a triangle as its slope."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, damping: float, support: float) -> Tensor:
        ctx.save_for_backward(u)
        ctx.slope = damping, support
        return (u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        (u,) = ctx.saved_tensors
        damping, support = ctx.slope
        return grad * damping * (1 - support * u.abs()).clamp(min=0), None, None


def _equation(
    x: Tensor,
    c: Tensor,
    y: Tensor,
    input_weight: Tensor,
    recurrent_weight: Tensor,
    input_bias: Tensor,
    recurrent_bias: Tensor,
    threshold: Tensor,
    damping: float,
    support: float,
) -> tuple[Tensor, Tensor, Tensor]:
    learn = torch.is_grad_enabled()
    events = []
    for a in (x @ input_weight + input_bias).unbind(0):
        q = y @ recurrent_weight + recurrent_bias
        (a_z, a_r, a_g), (q_z, q_r, q_g) = a.chunk(3, -1), q.chunk(3, -1)
        z, r = (a_z + q_z).sigmoid(), (a_r + q_r).sigmoid()
        h = z * c + (1 - z) * (a_g + r * q_g).tanh()
        u = h - threshold
        e: Any = _Event.apply(u, damping, support) if learn else (u > 0).to(u.dtype)
        c, y = h - e * threshold, e * h
        events.append(y)
    return torch.stack(events), c, y


egru_scan = equation.define(
    "egru_scan",
    "(Tensor x, Tensor c, Tensor y, Tensor input_weight, Tensor recurrent_weight, Tensor input_bias, "
    "Tensor recurrent_bias, Tensor threshold, float damping, float support) -> (Tensor, Tensor, Tensor)",
    _equation,
    domain=lambda _: None,
)
