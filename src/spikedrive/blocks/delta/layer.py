"""A linear layer or a convolution in a model of video that is sent what changed since the last frame."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from spikedrive.errors import ConfigError
from spikedrive.neurons import Accumulate, DeltaActivation
from spikedrive.neurons.neuron import check_number
from spikedrive.ops.fold import over_time


class DeltaLayer(nn.Module):
    """A layer behind a `DeltaActivation`, with an accumulator and the bias behind it.

    *Equation*, with threshold q:

        y_t = Q(x_t),  d_t = y_t - y_(t-1),  z_t = z_(t-1) + W d_t,  output z_t + b

    which is W y_t + b in exact arithmetic, as a sum of all changes is the last value. Q rounds to multiples of q, of
    which at most 127 in either direction; with threshold 0 it is the identity, so that the output is that of the layer
    itself. Whatever is not linear stands behind. A call starts from zero, so that every clip starts afresh;
    `Stream` and `run` continue.

    *Shapes*: x (T, B, ...) -> (T, B, ...), each step as the layer takes it.
    *Units*: the threshold in units of x.
    *Multiplies*: with a threshold above 0 none: the layer meets integers, and q folds into W. With 0 real numbers
    meet the weight, and the audit says so.
    *Raises*: ConfigError for another layer, or a negative threshold.
    *Source*: the delta activation layer (arXiv 2107.07305), from its abstract. Its quantiser has a learned step: here
    with `learn_step`.
    """

    def __init__(self, layer: nn.Module, threshold: float = 0.0, *, learn_step: bool = False) -> None:
        super().__init__()
        check_number("DeltaLayer", "threshold", threshold, low=0)
        if not isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            raise ConfigError(
                f"DeltaLayer got a {type(layer).__name__}; it takes nn.Linear, nn.Conv1d or nn.Conv2d, whose outputs "
                "add up. Fold a BatchNorm into its convolution first: fuse(model)."
            )
        if getattr(layer, "padding_mode", "zeros") != "zeros":
            raise ConfigError(
                f"DeltaLayer got a convolution with padding_mode={layer.padding_mode!r}; it takes zeros. Change the "
                "layer."
            )
        self.threshold = float(threshold)
        self.delta = DeltaActivation(threshold, 127 if threshold else None, learn_step=learn_step)
        self.layer = copy.deepcopy(layer)
        self.bias = self.layer.bias
        self.layer.register_parameter("bias", None)
        self.sum = Accumulate()

    def forward(self, x: Tensor) -> Tensor:
        """What the layer gives for every frame."""
        z = self.sum(over_time(self.layer, self.delta(x)))
        if self.bias is None:
            return z
        trailing = 0 if isinstance(self.layer, nn.Linear) else len(self.layer.kernel_size)
        return z + self.bias.view(-1, *[1] * trailing)
