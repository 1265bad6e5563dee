"""The Hoyer neuron of one-step networks: its threshold is where its own input is densest."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.errors import ConfigError, ShapeError, unknown_name
from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.neuron import Neuron, check_count, check_number
from spikedrive.ops import equation
from spikedrive.ops.checks import scan_input
from spikedrive.ops.domain import Binary, Domain

Extremum = Literal["layer", "channel", "fixed"]


class _HoyerFire(torch.autograd.Function):
    """1 where z >= level; backward 1/2 where 0 < z <= 2."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, level: Tensor) -> Tensor:
        ctx.save_for_backward(z)
        return (z >= level).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        (z,) = ctx.saved_tensors
        return grad * ((z > 0) & (z <= 2)).to(z.dtype) / 2, None


def _extremum(z, like):
    """sum c^2 / sum c for c = clip(z, 0, 1); 1 where all c are 0."""
    c = z.clamp(0, 1)
    axes = [a for a in range(z.dim()) if a != 1 or like.dim() == 0]
    extremum = c.square().sum(axes) / c.sum(axes)
    return torch.where(extremum.isnan(), torch.ones_like(extremum), extremum)


def _hoyer(x, threshold, running, training, scale):
    out, levels = [], [running]
    for x_t in x.unbind(0):
        z = x_t / threshold.abs()
        level = _extremum(z.detach(), running) if training else running
        levels.append(level)
        bound = scale * level.reshape(level.shape + (1,) * (z.dim() - 2)) if level.dim() else scale * level
        tracked = torch.is_grad_enabled() and z.requires_grad
        out.append(_HoyerFire.apply(z, bound) if tracked else (z >= bound).to(z.dtype))
    return torch.stack(out), torch.stack(levels)


_hoyer_scan = equation.define(
    "hoyer_scan",
    "(Tensor x, Tensor threshold, Tensor running, bool training, float scale) -> (Tensor, Tensor)",
    _hoyer,
    domain=lambda arguments: Binary(),
)


@register_neuron
class HoyerLIF(Neuron):
    """A spike where the input reaches the Hoyer extremum of its batch; every step on its own.

    *Equation*, with the learned threshold V of the layer:

        z = x / |V|,  c = clip(z, 0, 1)
        E = sum c^2 / sum c over the batch (extremum="layer"), over each channel's ("channel"), or 1 ("fixed")
        s = 1 where z >= scale E

    In eval mode E is a running mean, E_run = (1 - momentum) E_run + momentum E for each step in training.
    Backward: ds/dz is 1/2 where 0 < z <= 2, and E is a constant.

    *Shapes*: x (T, B, ...) -> (T, B, ...), with extremum="channel" (T, B, C, ...).
    *Units*: z and E in units of V.
    *Multiplies*: none in eval mode: V and E are one constant threshold. In training it needs the sums.
    *Raises*: ConfigError for a threshold, scale or number of channels of zero or less, and a momentum outside 0..1;
    UnknownNameError for another extremum; ShapeError for another number of channels.
    *Source*: Hoyer-regularised one-step networks, code of Ultra-Low-Latency-SNN. E_run starts at 0 there and here, so
    an untrained neuron in eval mode fires from 0 on; E of a silent batch is 1 here, NaN (which fires nothing) there.

    >>> HoyerLIF()(torch.tensor([0.2, 0.9, 2.0]).view(1, 1, 3)).flatten().tolist()
    [0.0, 1.0, 1.0]
    """

    running: Tensor

    def __init__(
        self,
        threshold: float = 1.0,
        *,
        extremum: Extremum = "layer",
        channels: int | None = None,
        scale: float = 1.0,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        check_number("HoyerLIF", "threshold", threshold, above=0)
        check_number("HoyerLIF", "scale", scale, above=0)
        check_number("HoyerLIF", "momentum", momentum, low=0, high=1)
        if extremum not in ("layer", "channel", "fixed"):
            raise unknown_name("extremum", extremum, ("layer", "channel", "fixed"))
        if (extremum == "channel") != (channels is not None):
            raise ConfigError(
                f"HoyerLIF got extremum={extremum!r} and channels={channels}; it takes a number of channels with "
                "extremum='channel' and only there. Give both or neither."
            )
        if channels is not None:
            check_count("HoyerLIF", "channels", channels)
        self.threshold = nn.Parameter(torch.tensor(float(threshold)))
        self.extremum, self.channels = extremum, channels
        self.scale, self.momentum = float(scale), float(momentum)
        shape = () if channels is None else (int(channels),)
        self.register_buffer("running", torch.ones(shape) if extremum == "fixed" else torch.zeros(shape))

    @property
    def silent_at_zero(self) -> bool:  # type: ignore[override]
        """Whether the threshold of eval mode has left its start at 0."""
        return bool((self.running > 0).all())

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    def rest(self, x: Float[Tensor, "T B *S"]) -> None:
        """Nothing is carried from step to step."""
        return

    def scan(self, x: Float[Tensor, "T B *S"], state: None) -> tuple[Float[Tensor, "T B *S"], None]:
        """Spikes, and no state."""
        scan_input("HoyerLIF", x, None)
        if self.channels is not None and (x.dim() < 3 or x.shape[2] != self.channels):
            raise ShapeError(
                f"HoyerLIF got x of shape {tuple(x.shape)}; it takes (T, B, {self.channels}, ...), a channel each. "
                "Give the channels of the layer in front as channels."
            )
        measured = self.training and self.extremum != "fixed"
        # the buffer changes below, before the backward pass reads what went in here
        running = self.running.clone() if measured else self.running
        y, levels = _hoyer_scan(x, self.threshold, running, measured, self.scale)
        if measured and x.numel():
            with torch.no_grad():
                for level in levels[1:].unbind(0):
                    self.running.lerp_(level.to(self.running.dtype), self.momentum)
        return y, None

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"extremum={self.extremum}, scale={self.scale:g}"


def hoyer_regulariser(x: Float[Tensor, "*S"], threshold: float | Float[Tensor, ""]) -> Float[Tensor, ""]:
    """The Hoyer measure of what reaches a neuron, to be added to the loss; large where many inputs are alike.

    *Equation*: (sum q)^2 / sum q^2 with q = clip(x, 0, V), V a constant in the backward pass; 0 where q is 0.
    *Shapes*: x (...) -> ().
    *Units*: between 1 (one input) and the number of inputs; the same for any scale of x and V together.
    *Source*: Ultra-Low-Latency-SNN, which adds 1e-4 of it for each layer by default.

    >>> hoyer_regulariser(torch.tensor([0.5, 0.5, -1.0]), 1.0).item()
    2.0
    """
    top = torch.as_tensor(threshold, dtype=x.dtype, device=x.device).detach().abs()
    q = torch.where(x >= top, top, x.clamp(min=0))
    squares = q.square().sum()
    return torch.where(squares > 0, q.sum().square() / squares.clamp(min=torch.finfo(x.dtype).tiny), 0.0)
