"""From the coarsest level of a pyramid to key points."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from spikedrive.blocks.conv import ConvBN
from spikedrive.blocks.neuron import NeuronLike, make_neuron
from spikedrive.blocks.readout import as_positions, flat_positions
from spikedrive.neurons.neuron import check_count
from spikedrive.ops.fold import over_time


class PoseHead(nn.Module):
    """Key points of every frame, regressed from the coarsest level, averaged to `size` x `size` positions.

    *Equation*: y = W2 N(BN(W1 N(pool(x)))) + b + 1/2.
    *Shapes*: the levels (T, B, C_i, H_i, W_i), of which the last is taken -> (T, B, K, 2), (x, y).
    *Units*: shares of the frame's width and height: the centre of the pixel in column i and row j of W x H pixels is
    ((i + 0.5) / W, (j + 0.5) / H). Nothing is cut off, so that a point may lie beyond the edge.
    *Multiplies*: none: each layer meets spikes, and the mean folds into the neuron's threshold where the map's sides
    are multiples of `size`.
    *Source*: **where we differ** from SpikeVideoFormer, which regresses parameters of a body model (SMPL): here they
    are points of the picture.
    """

    def __init__(
        self, channels: int, points: int, *, size: int = 4, hidden: int = 256, neuron: NeuronLike = "LIF"
    ) -> None:
        super().__init__()
        check_count("PoseHead", "hidden", hidden)
        self.size = as_positions(size)
        self.in_neuron = make_neuron(neuron)
        self.hidden = ConvBN(channels * self.size[0] * self.size[1], hidden)
        self.neuron = make_neuron(neuron)
        self.linear = nn.Linear(hidden, 2 * points)

    def forward(self, levels: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Points of every frame; `size` is that of the frames, of which the answer is a share."""
        s = self.in_neuron(flat_positions(levels[-1], self.size))
        y = over_time(self.hidden, s[..., None, None]).flatten(2)
        # a network that knows nothing yet points at the middle
        return self.linear(self.neuron(y)).unflatten(2, (-1, 2)) + 0.5
