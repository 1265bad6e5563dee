"""A small dense GPT: the twin that spiking language models of the same size are compared with.

*Source*: the usual decoder (arXiv 1706.03762) with norms in front (GPT-2), without biases and with learned positions.

*Expected*: benchmarks/results/shakespeare.csv, once `python benchmarks/shakespeare.py` has run.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn

from spikedrive.blocks.language import LanguageModel, LearnedPositions
from spikedrive.blocks.mixers import CausalAttention
from spikedrive.models._registry import OUR_SHAPE, register_model


class _Block(nn.Module):
    def __init__(self, width: int, *, layer: int, layers: int, heads: int) -> None:
        super().__init__()
        self.mixer = CausalAttention(width, layer=layer, layers=layers, heads=heads)
        expand, reduce = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)
        nn.init.normal_(expand.weight, std=0.02)
        nn.init.normal_(reduce.weight, std=0.02 * (2 * layers) ** -0.5)
        self.feed = nn.Sequential(nn.LayerNorm(width), expand, nn.GELU(), reduce)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mixer(x)
        return x + self.feed(x)


class DenseGPT(LanguageModel):
    """Tokens and positions, blocks, norm, linear head; no neuron.

    *Shapes*: ids (L, B) -> (L, B, V), L up to `context`.
    *Multiplies*: everything.
    *Raises*: ShapeError beyond the context; as `LanguageModel`.
    """

    def __init__(self, *, width: int, depth: int, heads: int, vocabulary: int, context: int) -> None:
        super().__init__(vocabulary=vocabulary, context=context)
        self.table, self.positions = nn.Embedding(vocabulary, width), LearnedPositions(context, width)
        nn.init.normal_(self.table.weight, std=0.02)
        self.blocks = nn.Sequential(
            *(_Block(width, layer=i, layers=depth, heads=heads) for i in range(depth))
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        nn.init.normal_(self.head.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (L, B, V)."""
        return self.head(self.forward_blocks(x))

    def forward_blocks(self, x: Tensor) -> Tensor:
        """The normalised stream, (L, B, C)."""
        return self.norm(self.blocks(self.positions(self.table(self.check_ids(x)))))


_register = partial(
    register_model, DenseGPT, paper="1706.03762", modality="text", task="lm", verdict_released="hybrid",
    verdict_repaired="hybrid",
)  # fmt: skip


@_register(params=6_103_280, input_size=(1, 1, 256), unpublished=OUR_SHAPE)
def gpt_dense_6m() -> dict[str, Any]:
    """8 blocks of width 248 on bytes, 256 tokens of context."""
    return {"width": 248, "depth": 8, "heads": 4, "vocabulary": 256, "context": 256}
