"""From token ids to spikes."""

from __future__ import annotations

from torch import Tensor, nn

from spikedrive.neurons import ThresholdLIF
from spikedrive.ops.fold import over_time
from spikedrive.ops.surrogate import atan


class BinaryEmbedding(nn.Module):
    """A table whose signs are spikes.

    *Equation*: s = 1 where table[id] >= 0, with the arctangent's slope at alpha 2.
    *Shapes*: ids (L, B) -> (L, B, C).
    *Multiplies*: none.
    *Source*: SpikeGPT (arXiv 2302.13939), section 3.1.
    """

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, width)
        self.neuron = ThresholdLIF(0.0, decay=0.0, strict=False, surrogate=atan())

    def forward(self, ids: Tensor) -> Tensor:
        """Spikes of the tokens."""
        # nothing is carried, so that all tokens are one step
        return over_time(lambda rows: self.neuron(rows[None])[0], self.table(ids))
