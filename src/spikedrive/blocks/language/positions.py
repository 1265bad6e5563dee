"""Where in the text a token stands."""

from __future__ import annotations

from torch import Tensor, nn

from spikedrive.errors import ShapeError
from spikedrive.state import Axis, Stateful


class LearnedPositions(Stateful):
    """Adds a learned row a position, counted from the start of the text.

    *Shapes*: x (L, B, C) -> (L, B, C); the state is the number of tokens so far.
    *Multiplies*: none.
    *Raises*: ShapeError beyond the last position.
    """

    axis: Axis = "tokens"

    def __init__(self, context: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(context, width)
        nn.init.normal_(self.table.weight, std=0.02)

    def rest(self, x: Tensor) -> int:
        """No token yet."""
        return 0

    def scan(self, x: Tensor, state: int) -> tuple[Tensor, int]:
        """x with its positions, and how many tokens there are now."""
        end, most = state + len(x), self.table.num_embeddings
        if end > most:
            raise ShapeError(
                f"A text of {end} tokens came to a model of {most} positions; it takes at most as many. Shorten the "
                "prompt or ask for fewer tokens, or choose a model with a recurrent state."
            )
        return x + self.table.weight[state:end, None], end
