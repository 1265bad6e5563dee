"""Parallel spiking neurons: a learned mixture over time in place of a membrane that resets."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.errors import ShapeError
from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.neuron import Neuron, check_count, check_number
from spikedrive.ops import equation
from spikedrive.ops import surrogate as surrogates
from spikedrive.ops.checks import scan_input
from spikedrive.ops.domain import Binary, Domain
from spikedrive.ops.surrogate import Surrogate


def _mixed(weight, x):
    """weight (T, T) over the axis of time of x (T, ...)."""
    return (weight.to(x.dtype) @ x.flatten(1)).reshape(x.shape)


def _each_step(values, x):
    """One value a step, for x (T, ...)."""
    return values.reshape((-1,) + (1,) * (x.dim() - 1))


def _psn(x, weight, bias, surrogate, alpha):
    h = _mixed(weight, x) + _each_step(bias, x)
    return equation.fire(h, surrogate, alpha), h[-1]


def _masked(x, past, weight, bias, order, mix, start, surrogate, alpha):
    steps = x.shape[0]
    if mix < 1:
        band = torch.ones_like(weight).tril().triu(1 - order)
        h, past = _mixed((mix * band + (1 - mix)) * weight, x), past.clone()
    else:
        window = torch.cat([past, x])
        past = window[steps:]
        h = 0.0
        # lag by lag rather than as a matrix, so that chunks round as the whole does
        for lag in range(order):
            taps = torch.cat([weight.new_zeros(lag), weight.diagonal(-lag)])[start : start + steps]
            first = order - 1 - lag
            h = h + _each_step(taps, x) * window[first : first + steps]
    return equation.fire(h + _each_step(bias[start : start + steps], x), surrogate, alpha), past


def _sliding(x, past, weight, bias, surrogate, alpha):
    window, steps = torch.cat([past, x]), x.shape[0]
    h = bias
    for i, tap in enumerate(weight.unbind(0)):
        h = h + tap * window[i : i + steps]
    return equation.fire(h, surrogate, alpha), window[steps:]


_psn_scan = equation.define(
    "psn_scan",
    "(Tensor x, Tensor weight, Tensor bias, str surrogate, float alpha) -> (Tensor, Tensor)",
    _psn,
    domain=lambda arguments: Binary(),
)
_masked_scan = equation.define(
    "masked_psn_scan",
    "(Tensor x, Tensor past, Tensor weight, Tensor bias, int order, float mix, int start, str surrogate, float alpha) "
    "-> (Tensor, Tensor)",
    _masked,
    domain=lambda arguments: Binary(),
)
_sliding_scan = equation.define(
    "sliding_psn_scan",
    "(Tensor x, Tensor past, Tensor weight, Tensor bias, str surrogate, float alpha) -> (Tensor, Tensor)",
    _sliding,
    domain=lambda arguments: Binary(),
)


@register_neuron
class PSN(Neuron):
    """Parallel spiking neuron: every spike sees every step, the later ones too.

    *Equation*: H = W x + b over time, W (T, T) and b (T, 1) learned; s_t = 1 where H_t >= 0.
    *Shapes*: x (T, B, ...) -> (T, B, ...), T = steps. It needs the whole of time, so it does not stream.
    *Units*: b is minus the threshold, -1 at the start.
    *Multiplies*: T real products an output, unless W is made of powers of two.
    *Raises*: ConfigError for steps below 1; ShapeError for another number of steps.
    *Source*: SpikingJelly PSN (arXiv 2304.12760), keys `weight` and `bias` as there.

    >>> PSN(steps=3)(torch.zeros(3, 1, 1)).flatten().tolist()
    [0.0, 0.0, 0.0]
    """

    refuses_streaming = "each of its spikes depends on later inputs"

    def __init__(self, steps: int = 4, *, surrogate: Surrogate | None = None) -> None:
        super().__init__()
        check_count("PSN", "steps", steps)
        self.steps = int(steps)
        self.weight, self.bias = _mixture(self.steps)
        self.surrogate = surrogate or surrogates.atan()

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    def rest(self, x: Float[Tensor, "T B *S"]) -> None:
        """Nothing is carried."""
        return

    def scan(self, x: Float[Tensor, "T B *S"], state: None) -> tuple[Float[Tensor, "T B *S"], None]:
        """Spikes, and no state."""
        scan_input("PSN", x, None)
        _check_whole("PSN", x.shape[0], self.steps)
        y, _ = _psn_scan(x, self.weight, self.bias, self.surrogate.name, float(self.surrogate.alpha))
        return y, None

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"steps={self.steps}"


MaskedState = tuple[Float[Tensor, "K B *S"], int]


@register_neuron
class MaskedPSN(Neuron):
    """Parallel spiking neuron that sees the last `order` steps only, through weights of each step's own.

    *Equation*: as `PSN` with W replaced by (mix M + 1 - mix) W, where M_ij = 1 for i - order < j <= i, else 0.
    While training, mix rises from 0 (a `PSN`) to 1 (causal): assign `neuron.mix`.
    *Shapes*: x (T, B, ...) -> (T, B, ...), all of `steps` steps, in chunks or whole; it streams at mix 1.
    *Units*: b is minus the threshold, -1 at the start.
    *Multiplies*: `order` real products an output (T below mix 1), unless the weights are powers of two.
    *Raises*: ConfigError for steps below 1, an order outside 1..steps or a mix outside 0..1; ShapeError beyond
    `steps`, and for another number of steps below mix 1.
    *Source*: SpikingJelly MaskedPSN (k and lambda_ there), keys `weight` and `bias` as there.

    >>> MaskedPSN(steps=3)(torch.zeros(3, 1, 1)).flatten().tolist()
    [0.0, 0.0, 0.0]
    """

    def __init__(
        self, steps: int = 4, order: int = 2, *, mix: float = 1.0, surrogate: Surrogate | None = None
    ) -> None:
        super().__init__()
        check_count("MaskedPSN", "steps", steps)
        check_count("MaskedPSN", "order", order, high=steps)
        check_number("MaskedPSN", "mix", mix, low=0, high=1)
        self.steps, self.order, self.mix = int(steps), int(order), float(mix)
        self.weight, self.bias = _mixture(self.steps)
        self.surrogate = surrogate or surrogates.atan()

    @property
    def refuses_streaming(self) -> str | None:  # type: ignore[override]
        """Below mix 1 it sees later inputs."""
        return None if self.mix >= 1 else f"at mix {self.mix:g} each of its spikes depends on later inputs"

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    def rest(self, x: Float[Tensor, "T B *S"]) -> MaskedState:
        """Zeros before step 0."""
        return x.new_zeros((self.order - 1, *x.shape[1:])), 0

    def scan(
        self, x: Float[Tensor, "T B *S"], state: MaskedState
    ) -> tuple[Float[Tensor, "T B *S"], MaskedState]:
        """Spikes; the last order - 1 inputs, and the number of steps so far."""
        past, start = state
        scan_input("MaskedPSN", x, None)
        end = start + x.shape[0]
        if self.mix < 1 or end > self.steps:
            _check_whole("MaskedPSN", end, self.steps)
        y, past = _masked_scan(
            x, past, self.weight, self.bias, self.order, self.mix, start, self.surrogate.name,
            float(self.surrogate.alpha),
        )  # fmt: skip
        return y, (past, end)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"steps={self.steps}, order={self.order}, mix={self.mix:g}"


@register_neuron
class SlidingPSN(Neuron):
    """Parallel spiking neuron with one window of weights for all steps: a convolution over time.

    *Equation*, with `order` weights w and one b, learned, and x zero before the start:

        H_t = sum_i w_{order-1-i} x_{t-i} + b,  i = 0..order-1;  s_t = 1 where H_t >= 0

    *Shapes*: x (T, B, ...) -> (T, B, ...), any T.
    *Units*: b is minus the threshold, -1 at the start.
    *Multiplies*: `order` real products an output, unless the weights are powers of two, as they are at the
    start with exponential=True: 1 for x_t, half of it for each step back.
    *Raises*: ConfigError for an order below 1.
    *Source*: SpikingJelly SlidingPSN (k and exp_init there), keys `weight` and `bias` as there.

    >>> SlidingPSN()(torch.tensor([0.0, 0.8, 0.8, 0.0]).view(4, 1, 1)).flatten().tolist()
    [0.0, 0.0, 1.0, 0.0]
    """

    def __init__(
        self, order: int = 2, *, exponential: bool = True, surrogate: Surrogate | None = None
    ) -> None:
        super().__init__()
        check_count("SlidingPSN", "order", order)
        self.order = int(order)
        if exponential:
            weight = 0.5 ** torch.arange(self.order - 1, -1, -1.0)
        else:
            weight = nn.init.kaiming_uniform_(torch.empty(1, self.order), a=math.sqrt(5))[0]
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(torch.tensor(-1.0))
        self.surrogate = surrogate or surrogates.atan()

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    def rest(self, x: Float[Tensor, "T B *S"]) -> Float[Tensor, "K B *S"]:
        """Zeros before the start."""
        return x.new_zeros((self.order - 1, *x.shape[1:]))

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "K B *S"]
    ) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "K B *S"]]:
        """Spikes, and the last order - 1 inputs."""
        scan_input("SlidingPSN", x, None)
        return _sliding_scan(
            x, state, self.weight, self.bias, self.surrogate.name, float(self.surrogate.alpha)
        )

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"order={self.order}"


def _mixture(steps: int) -> tuple[nn.Parameter, nn.Parameter]:
    weight = nn.init.kaiming_uniform_(torch.empty(steps, steps), a=math.sqrt(5))
    return nn.Parameter(weight), nn.Parameter(torch.full((steps, 1), -1.0))


def _check_whole(owner: str, given: int, steps: int) -> None:
    if given != steps:
        raise ShapeError(
            f"{owner} got {given} steps; it takes {steps}, for which it has weights. "
            f"Give {steps} steps, or construct {owner}(steps={given})."
        )
