"""A linear layer with a norm that folds into its weight."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikedrive.blocks.linear import LinearChain
from spikedrive.ops.fold import over_time


class NormLinear(LinearChain):
    """Linear layer, BatchNorm over all tokens of the batch.

    *Shapes*: x (L, B, C) -> (L, B, C').
    *Multiplies*: none where x are spikes or integers: `fused` folds the norm into weight and bias.
    """

    def __init__(self, in_features: int, out_features: int, *, gain: float = 1.0) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=False)
        self.norm = nn.BatchNorm1d(out_features)
        nn.init.orthogonal_(self.linear.weight) if not self.linear.weight.is_meta else None
        nn.init.constant_(self.norm.weight, gain)

    def forward(self, x: Tensor) -> Tensor:
        """norm(linear(x))."""
        return over_time(self.norm, self.linear(x))

    def fused(self, *, dense_separable: bool) -> nn.Linear:
        """One linear layer with a bias."""
        norm, weight = self.norm, self.linear.weight
        assert norm.running_mean is not None and norm.running_var is not None
        gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        one = nn.Linear(weight.shape[1], weight.shape[0]).to(weight)
        with torch.no_grad():
            one.weight.copy_(weight.double() * gain[:, None])
            one.bias.copy_(norm.bias.double() - norm.running_mean.double() * gain)
        return one
