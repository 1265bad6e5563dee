"""What every causal language model is: token ids in, logits for the next token out, one step a token."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor

from spikedrive.blocks.language.ids import check_ids
from spikedrive.blocks.model import SpikingModel, select_levels
from spikedrive.neurons.neuron import check_count


class LanguageModel(SpikingModel):
    """A network from token ids to logits for the next token, whose first axis is the sequence.

    A token is one step of time: `run(model, ids, state, along="tokens")` goes on where a sequence stopped, and the
    parallel and the recurrent form are the same network. `context` is the longest sequence that it takes, None where
    its state does not grow with the sequence.

    *Shapes*: ids (L, B) of integers -> (L, B, V).
    *Raises*: ShapeError, DtypeError, ValueRangeError for other ids; ConfigError for arguments out of range.
    """

    def __init__(self, *, vocabulary: int, context: int | None = None) -> None:
        super().__init__(input="tokens", in_channels=1, classes=vocabulary, steps=1)
        if context is not None:
            check_count(type(self).__name__, "context", context)
        self.vocabulary, self.context = vocabulary, context

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Logits (L, B, V) of token ids (L, B)."""

    @abstractmethod
    def forward_blocks(self, x: Tensor) -> Tensor:
        """What the head reads, (L, B, C), of token ids (L, B)."""

    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """The one level that there is: what the head reads, (L, B, C)."""
        select_levels(levels, 1)
        return [self.forward_blocks(x)]

    def check_ids(self, ids: Tensor) -> Tensor:
        """The ids, checked."""
        name = self.card.name if self.card else type(self).__name__
        return check_ids(name, ids, vocabulary=self.vocabulary, context=self.context)
