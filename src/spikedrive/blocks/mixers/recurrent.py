"""Recurrent cells as sequence mixers: the event-gated unit, and Legendre memories with and without spikes."""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import Tensor, nn

from spikedrive.blocks.mixers.sequence import SEQUENCE_MIXERS
from spikedrive.neurons import EGRU, LIF, LMU, SpikingLMU
from spikedrive.neurons.neuron import Neuron

Cell = Literal["egru", "lmu", "spiking_lmu"]


class RecurrentMixer(nn.Module):
    """norm, cell along the tokens, linear layer.

    `window` (tokens) and `order` are those of a Legendre memory.

    *Shapes*: x (L, B, C) -> (L, B, C).
    *Multiplies*: the norm feeds real numbers into the cell; what a cell multiplies stands with it.
    *Raises*: as the cell.
    *Source*: EGRU (arXiv 2206.06178), LMUFormer (arXiv 2402.04882).
    """

    def __init__(
        self, width: int, *, layer: int, layers: int, cell: Cell, order: int = 8, window: float = 64.0
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        if cell == "egru":
            self.cell = EGRU(width, width)
        elif cell == "lmu":
            self.cell = LMU(width, width, order=order, window=window)
        else:
            # one neuron writes into the memory: without the input's decay it is not silent at first
            fire = partial(LIF, decay_input=False)
            self.cell = SpikingLMU(width, width, order=order, window=window, neuron=fire)
        for part in self.cell.modules():
            if isinstance(part, Neuron):
                part.axis = "tokens"
        self.output = nn.Linear(width, width, bias=False)
        nn.init.normal_(self.output.weight, std=0.02 * (2 * layers) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """The branch, without its shortcut."""
        return self.output(self.cell(self.norm(x)))


SEQUENCE_MIXERS.add("egru", partial(RecurrentMixer, cell="egru"))
SEQUENCE_MIXERS.add("lmu", partial(RecurrentMixer, cell="lmu"))
SEQUENCE_MIXERS.add("spiking_lmu", partial(RecurrentMixer, cell="spiking_lmu"))
