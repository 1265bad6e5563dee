"""MPBN: BatchNorm on the membrane, which folds into a threshold a channel."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.errors import ConfigError, ShapeError
from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.firing import FIRING, FiringNeuron, Reset
from spikedrive.neurons.neuron import check_count, check_number
from spikedrive.neurons.threshold import ThresholdLIF, boundary, over_channels
from spikedrive.ops import equation
from spikedrive.ops import surrogate as surrogates
from spikedrive.ops.checks import scan_input
from spikedrive.ops.domain import Binary
from spikedrive.ops.surrogate import Surrogate


def _normalised(h, mean, variance, weight, bias, eps):
    return (h - mean) * (weight / torch.sqrt(variance + eps)) + bias


def _statistics(h, like):
    """Mean and variance a channel (axis 1), or over everything where `like` is a single number."""
    axes = [a for a in range(h.dim()) if a != 1 or like.dim() == 0]
    mean = h.mean(axes, keepdim=True)
    return mean.reshape(like.shape), (h - mean).square().mean(axes).reshape(like.shape)


def _mpbn(
    x, v, mean, variance, weight, bias, eps, training, write_back, decay, decay_input,
    threshold, hard_reset, reset_value, strict, detach_reset, surrogate, alpha,
):  # fmt: skip
    gain = 1 - decay if decay_input else 1.0
    towards = (1 - decay) * reset_value if hard_reset else 0.0
    out, means, variances = [], [mean], [variance]
    for x_t in x.unbind(0):
        h = decay * v + gain * x_t + towards
        if training:
            mean, variance = _statistics(h, mean)
            means.append(mean)
            variances.append(variance)
        z = _normalised(h, *(over_channels(p, h) for p in (mean, variance, weight, bias)), eps)
        s = equation.fire(z - threshold, surrogate, alpha, strict)
        v = equation.reset(z if write_back else h, s, threshold, hard_reset, reset_value, detach_reset)
        out.append(s)
    return torch.stack(out), v, torch.stack(means), torch.stack(variances)


_mpbn_scan = equation.define(
    "mpbn_scan",
    "(Tensor x, Tensor v, Tensor mean, Tensor variance, Tensor weight, Tensor bias, float eps, bool training, "
    f"bool write_back, float decay, bool decay_input, {FIRING}) -> (Tensor, Tensor, Tensor, Tensor)",
    _mpbn,
    domain=lambda arguments: Binary(),
)


@register_neuron
class MPBNLIF(FiringNeuron):
    """LIF that normalises its membrane over the batch, step by step, before it fires.

    *Equation*, with decay d and reset value r (0 for a soft reset):

        charge     h = d v + x                   (decay_input=False)
                   h = d v + (1 - d)(r + x)      (decay_input=True)
        normalise  z = weight (h - mean) / sqrt(variance + eps) + bias
        fire       s = 1 where z > threshold     (>= with strict=False)
        reset      as in `LIF`, on h; on z with write_back=True

    In training mean and variance are those of each step's batch, and the running ones follow them T times a call,
    as the calls of one BatchNorm do; in eval they are the running ones. `fold` then gives the same spikes without
    normalising.

    | published form | arguments |
    |---|---|
    | MPBN | the defaults |
    | SpikingJelly MPBNLIFNode | write_back=True, decay=0.5, threshold=1, strict=False |

    *Shapes*: x (T, B, ...) -> (T, B, ...), with channels (T, B, C, ...).
    *Units*: the threshold in units of z.
    *Multiplies*: none in eval mode where decay is a power of two: the normalisation folds into the threshold. With
    write_back it stays, one a step.
    *Raises*: ConfigError for a decay outside 0..1, a threshold, eps or number of channels of zero or less, and from
    `fold` with write_back; ShapeError for another number of channels.
    *Source*: MPBN (arXiv 2308.08359), whose code fires at 0.5 and writes nothing back, keys as BatchNorm's.

    >>> MPBNLIF().eval()(torch.full((3, 1, 1), 0.45)).flatten().tolist()
    [0.0, 1.0, 0.0]
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        channels: int | None = None,
        threshold: float = 0.5,
        *,
        decay: float = 0.25,
        decay_input: bool = False,
        write_back: bool = False,
        eps: float = 1e-5,
        momentum: float = 0.1,
        reset: Reset = "hard",
        reset_value: float = 0.0,
        strict: bool = True,
        detach_reset: bool = False,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__(
            threshold, reset=reset, reset_value=reset_value, strict=strict, detach_reset=detach_reset,
            surrogate=surrogate or surrogates.tanh_window(),
        )  # fmt: skip
        check_number("MPBNLIF", "decay", decay, low=0, high=1)
        check_number("MPBNLIF", "eps", eps, above=0)
        check_number("MPBNLIF", "momentum", momentum, low=0, high=1)
        if channels is not None:
            check_count("MPBNLIF", "channels", channels)
        self.channels, self.decay, self.decay_input = channels, float(decay), decay_input
        self.write_back, self.eps, self.momentum = write_back, float(eps), float(momentum)
        shape = () if channels is None else (int(channels),)
        self.weight, self.bias = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.zeros(shape))
        self.register_buffer("running_mean", torch.zeros(shape))
        self.register_buffer("running_var", torch.ones(shape))

    def rest(self, x: Float[Tensor, "T B *S"]) -> Float[Tensor, "B *S"]:
        """The membrane at its reset value; zero for a soft reset."""
        return self.membrane_at_rest(x)

    def scan(
        self, x: Float[Tensor, "T B *S"], state: Float[Tensor, "B *S"]
    ) -> tuple[Float[Tensor, "T B *S"], Float[Tensor, "B *S"]]:
        """Spikes and the last membrane."""
        scan_input("MPBNLIF", x, state)
        if self.channels is not None and (x.dim() < 3 or x.shape[2] != self.channels):
            raise ShapeError(
                f"MPBNLIF got x of shape {tuple(x.shape)}; it takes (T, B, {self.channels}, ...), a channel each. "
                "Give the channels of the layer in front as channels."
            )
        mean, variance = self.running_mean, self.running_var
        if self.training:
            # the buffers change below, before the backward pass reads what went in here
            mean, variance = mean.clone(), variance.clone()
        y, last, means, variances = _mpbn_scan(
            x, state, mean, variance, self.weight, self.bias, self.eps, self.training,
            self.write_back, self.decay, self.decay_input, *self.firing,
        )  # fmt: skip
        if self.training:
            self._follow(
                means[1:].detach(), variances[1:].detach(), x[0].numel() // max(1, self.weight.numel())
            )
        return y, last

    @torch.no_grad()
    def fold(self) -> ThresholdLIF:
        """The neuron that fires exactly where this one does in eval mode, and normalises nothing.

        Exactly: each threshold is found among the numbers of the parameters' dtype, as the last one at which
        the normalised membrane does not fire. A negative weight turns the comparison, a zero one fixes its answer.
        """
        if self.write_back:
            raise ConfigError(
                "MPBNLIF.fold got write_back=True, whose membrane holds the normalised value; it takes neurons that "
                "only compare it. Construct MPBNLIF(write_back=False)."
            )

        def fires(h: Tensor) -> Tensor:
            z = _normalised(h, self.running_mean, self.running_var, self.weight, self.bias, self.eps)
            return z - self.threshold > 0 if self.strict else z - self.threshold >= 0

        quiet, loud, sign = boundary(fires, self.weight)
        return ThresholdLIF(
            quiet if self.strict else loud, sign, decay=self.decay, decay_input=self.decay_input,
            reset=self.reset, reset_value=self.reset_value, reset_amount=self.threshold, strict=self.strict,
            detach_reset=self.detach_reset, surrogate=self.surrogate,
        )  # fmt: skip

    @torch.no_grad()
    def _follow(self, means: Tensor, variances: Tensor, count: int) -> None:
        if count == 0:
            return
        unbiased = variances * (count / max(1, count - 1))
        for mean, variance in zip(means.unbind(0), unbiased.unbind(0), strict=True):
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"channels={self.channels}, threshold={self.threshold:g}, decay={self.decay:g}"
