"""One re-parameterised 1 x 1 convolution as a branch."""

from __future__ import annotations

from torch import Tensor, nn

from spikedrive.blocks.conv import RepPointwise
from spikedrive.blocks.neuron import NeuronLike, make_neuron
from spikedrive.ops.fold import over_time


class PointwiseMixer(nn.Module):
    """neuron, RepPointwise: the branch of a membrane shortcut that mixes channels without widening them.

    *Shapes*: x (T, B, C, H, W) -> (T, B, C, H, W).
    *Multiplies*: real values inside of its chain, until it is fused.
    *Source*: Spike-driven Transformer V3 (arXiv 2411.16061), `rep_conv` of its 83M model's code.
    """

    def __init__(self, channels: int, *, neuron: NeuronLike = "LIF") -> None:
        super().__init__()
        self.neuron = make_neuron(neuron)
        self.project = RepPointwise(channels, channels, ratio=1, outer_bn=False)

    def forward(self, x: Tensor) -> Tensor:
        """The branch, without its shortcut."""
        return over_time(self.project, self.neuron(x))
