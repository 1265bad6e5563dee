"""Threshold-dependent BatchNorm: one normalisation for all steps, to the size of the threshold."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.errors import ConfigError
from spikedrive.ops.fold import over_time


class TdBN(nn.Module):
    """BatchNorm over time, batch and space together, scaled to the threshold of the neuron behind it.

    *Equation*, a channel, with mean and variance over T, B and space:

        y = weight alpha threshold (x - mean) / sqrt(variance + eps) + bias

    alpha is 1, and 1 / sqrt(n) for the last normalisations of n branches that are added, so that their sum has the
    variance of one.

    *Shapes*: x (T, B, C, ...) -> the same.
    *Units*: y in units of x's threshold: at the start its mean is 0 and its standard deviation alpha threshold.
    *Multiplies*: none in eval mode: it folds into the layer in front.
    *Raises*: ConfigError for channels, threshold, alpha or eps of zero or less; ShapeError for x without (T, B, C).
    *Source*: STBP-tdBN (arXiv 2011.05280). The running variance follows the unbiased one, as in BatchNorm.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        channels: int,
        threshold: float = 1.0,
        *,
        alpha: float = 1.0,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        for name, value in (("channels", channels), ("threshold", threshold), ("alpha", alpha), ("eps", eps)):
            # written so that NaN fails too
            if not value > 0:
                raise ConfigError(f"TdBN got {name}={value}; it takes a number above 0. Change {name}.")
        self.channels, self.threshold, self.alpha = int(channels), float(threshold), float(alpha)
        self.eps, self.momentum = float(eps), float(momentum)
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """The normalised input."""
        return over_time(self._normalise, x)

    def _normalise(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight * (self.alpha * self.threshold), self.bias,
            self.training, self.momentum, self.eps,
        )  # fmt: skip

    @torch.no_grad()
    def as_batch_norm(self) -> nn.BatchNorm2d:
        """A BatchNorm2d that does the same on (T B, C, H, W), for what folds and exports those."""
        bn = nn.BatchNorm2d(self.channels, self.eps, self.momentum).to(self.weight)
        assert bn.running_mean is not None and bn.running_var is not None
        bn.weight.copy_(self.weight * (self.alpha * self.threshold))
        bn.bias.copy_(self.bias)
        bn.running_mean.copy_(self.running_mean)
        bn.running_var.copy_(self.running_var)
        return bn.train(self.training)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"{self.channels}, threshold={self.threshold:g}, alpha={self.alpha:g}"
