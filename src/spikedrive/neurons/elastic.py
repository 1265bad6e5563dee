"""Elastic bi-spikes: ternary spikes with an amplitude, of the language models of SpikeLM."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.errors import ConfigError, ShapeError
from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.neuron import Neuron, check_count, check_number
from spikedrive.ops import checks, equation
from spikedrive.ops.domain import Domain, Ternary

_SMALLEST_AMPLITUDE = 1e-5


@register_neuron
class ElasticBiSpike(Neuron):
    """A spike of either sign and of a calibrated amplitude.

    *Equation*, with amplitude a (one, or one a step) and decay d, from c = 0:

        charge  m = d c + x
        fire    s = round(clip(m / a, -1, 1)), half to even; sign(m) with signs_only=True
        keep    c = m (a - a s), where a - a s is a constant in the backward pass
        output  y = a s

    so a positive spike empties the membrane, none keeps d a m of it, and a negative one 2 d a m.
    Backward: dy/dm is 1 where |m| <= a, and dy/da, for each step, the sum of s - m/a there and of s beyond
    (of s everywhere with signs_only) over its n elements, divided by sqrt(n).

    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Units*: the amplitude in units of x; calibrated it is `spread` times the mean |m|, so a larger spread
    fires more seldom.
    *Multiplies*: the amplitude folds into the next weight; the leak d a is a shift where it is a power of two.
    With `steps` each step has an amplitude of its own, which folds into no weight: one multiplication a spike.
    *Raises*: ConfigError for an amplitude, spread or number of steps of zero or less, or a decay outside 0..1;
    ShapeError for a sequence of another length than `steps`.
    *Source*: SpikeLM (arXiv 2406.03287) as its code has it; the paper writes a hard reset. The original sets
    its amplitudes during its first call; here `calibrate` does.

    >>> ElasticBiSpike(amplitude=2.0)(torch.tensor([1.0, -2.5, 9.0]).view(3, 1, 1)).flatten().tolist()
    [0.0, -2.0, 2.0]
    """

    amplitude: Tensor

    def __init__(
        self,
        spread: float = 2.0,
        amplitude: float = 1.0,
        *,
        steps: int | None = None,
        decay: float = 0.25,
        signs_only: bool = False,
        learn_amplitude: bool = False,
    ) -> None:
        super().__init__()
        check_number("ElasticBiSpike", "spread", spread, above=0)
        check_number("ElasticBiSpike", "amplitude", amplitude, above=0)
        check_number("ElasticBiSpike", "decay", decay, low=0, high=1)
        if steps is not None:
            check_count("ElasticBiSpike", "steps", steps)
            self.refuses_streaming = f"it has an amplitude for each of its {steps} steps"
        self.spread, self.decay, self.signs_only, self.steps = float(spread), float(decay), signs_only, steps
        shape = () if steps is None else (int(steps),)
        first = torch.full(shape, float(amplitude))
        if learn_amplitude:
            self.amplitude = nn.Parameter(first)
        else:
            self.register_buffer("amplitude", first)

    @property
    def domain(self) -> Domain | None:
        """Ternary times the amplitude; None where each step has its own."""
        if self.steps is not None:
            return None
        return Ternary(max(float(self.amplitude.detach()), _SMALLEST_AMPLITUDE))

    def rest(self, x: Float[Tensor, "T B *S"]) -> Float[Tensor, "B *S"]:
        """Nothing kept."""
        return torch.zeros_like(x[0])

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S"]
    ) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "B *S"]]:
        """Spikes times their amplitude, and what is kept of the membrane."""
        checks.scan_input("ElasticBiSpike", x, state)
        if self.steps is not None and x.shape[0] != self.steps:
            raise ShapeError(
                f"ElasticBiSpike got x of shape {tuple(x.shape)}; it takes the {self.steps} steps that it has an "
                "amplitude for. Encode that many, or leave steps out for one amplitude."
            )
        amplitude = self.amplitude.clamp(min=_SMALLEST_AMPLITUDE).to(x.dtype)
        s, kept = elastic_scan(x, state, amplitude, self.decay, self.signs_only)
        # the operation gives the amplitude its gradient
        outer = amplitude.detach()
        return s * (outer if self.steps is None else outer.view(-1, *[1] * (x.dim() - 1))), kept

    @torch.no_grad()
    def calibrate(self, x: Float[Tensor, "T B *S"]) -> None:
        """Set each amplitude to `spread` times the mean |membrane| on `x`, step after step.

        One amplitude for all steps becomes `spread` times the mean |x|.
        """
        if self.steps is None:
            self.amplitude.fill_(self.spread * x.abs().mean())
            return
        kept = torch.zeros_like(x[0])
        for t, x_t in enumerate(x):
            m = self.decay * kept + x_t
            self.amplitude[t] = self.spread * m.abs().mean()
            _, kept = elastic_scan(x_t[None], kept, self.amplitude[t], self.decay, self.signs_only)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return (
            f"spread={self.spread:g}, steps={self.steps}, decay={self.decay:g}, signs_only={self.signs_only}"
        )


@torch.no_grad()
def calibrate_amplitudes(model: nn.Module, x: Tensor) -> int:
    """Set the amplitudes of all elastic bi-spikes of `model` on the batch `x`; how many neurons those are.

    They are set in the order in which they are called, each on what the ones before it give with theirs, so that one
    pass does it, as the first call of SpikeLM's code. Runs in eval mode and leaves the mode as it was.

    *Raises*: ConfigError for a model without one.
    """
    neurons = [m for m in model.modules() if isinstance(m, ElasticBiSpike)]
    if not neurons:
        raise ConfigError(
            f"calibrate_amplitudes got a {type(model).__name__} without ElasticBiSpike; it sets their amplitudes. "
            "Build the model with neuron='ElasticBiSpike', or leave this out."
        )

    def calibrate(neuron: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(neuron, ElasticBiSpike)
        neuron.calibrate(given[0])

    hooks = [neuron.register_forward_pre_hook(calibrate) for neuron in neurons]
    training = model.training
    try:
        model.eval()(x)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return len(neurons)


class _Fire(torch.autograd.Function):
    """The three values of m / a, with the gradients of a learned step size."""

    @staticmethod
    def forward(ctx: Any, m: Tensor, a: Tensor, signs_only: bool) -> Tensor:
        ctx.save_for_backward(m, a)
        ctx.signs_only = signs_only
        up, down = _signs(m, a, signs_only)
        return up - down

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        m, a = ctx.saved_tensors
        # y = a s outside, so this is the gradient of y times a
        g, u = grad / a, m / a
        inside = u.abs() <= 1
        slope = u.sign() if ctx.signs_only else torch.where(inside, u.round() - u, u.sign())
        return g * inside, (g * slope).sum() / math.sqrt(max(1, m.numel())), None


def _signs(m: Tensor, a: Tensor, signs_only: bool) -> tuple[Tensor, Tensor]:
    """Where a positive and where a negative spike is fired, as zeros and ones."""
    u, edge = (m, 0.0) if signs_only else (m / a, 0.5)
    return (u > edge).to(m.dtype), (u < -edge).to(m.dtype)


def _equation(
    x: Tensor, kept: Tensor, amplitude: Tensor, decay: float, signs_only: bool
) -> tuple[Tensor, Tensor]:
    learn = torch.is_grad_enabled()
    spikes = []
    for x_t, a in zip(x.unbind(0), amplitude.expand(x.shape[0]).unbind(0), strict=True):
        m = decay * kept + x_t
        up, down = _signs(m.detach(), a.detach(), signs_only)
        spikes.append(_Fire.apply(m, a, signs_only) if learn else up - down)
        # m (a - a s), written so that spikes select and nothing is multiplied but the leak
        kept = a.detach() * (m * (1 - up) + m * down)
    return torch.stack(spikes), kept


elastic_scan = equation.define(
    "elastic_scan",
    "(Tensor x, Tensor kept, Tensor amplitude, float decay, bool signs_only) -> (Tensor, Tensor)",
    _equation,
    domain=lambda _: Ternary(),
)
