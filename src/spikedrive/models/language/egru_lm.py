"""The EGRU language model: gated units that speak only when they cross a threshold.

*Source*: "Efficient recurrent architectures through activity sparsity and sparse back-propagation through time"
(arXiv 2206.06178) and its deployment on SpiNNaker 2 (arXiv 2312.09084); code EvNN, commit b1d23e72 (written here from
its equations; `remap` reads the layout of its checkpoints).

*Where we differ*: the original hands the last outputs from one chunk of a text to the next and starts its cells at
zero again; here `run` carries both, so that chunks equal the whole. Its dropout mask differs at every token and is the
same for all texts of a batch; ours differs from text to text and is the same at every token.

*Not spike-driven*: an event carries its value, so that it is multiplied, and so do the gates; the audit says
`hybrid`. What is saved are the rows of units that said nothing.

*Expected*: the cards of `egru_penn_treebank` and `egru_wikitext2` hold what the original publishes, marked so; nobody
published a model of the size of `egru_6m`, which is ours, and nothing is measured of it yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks import Dropout
from spikedrive.blocks.language import LanguageModel
from spikedrive.errors import ConfigError
from spikedrive.models._registry import OUR_SHAPE, register_model
from spikedrive.neurons import EGRU


class EGRULanguageModel(LanguageModel):
    """A table of tokens, EGRU layers, and a head with the table's weights.

    *Shapes*: ids (L, B) -> (L, B, V).
    *Multiplies*: everything that a GRU does, where a unit spoke.
    *Raises*: ConfigError for no layer, or a last one that is not as wide as the table; as `EGRU` and `LanguageModel`.
    """

    def __init__(
        self,
        *,
        width: int,
        widths: Sequence[int],
        vocabulary: int,
        mean_threshold: float = 0.01,
        damping: float = 3.6,
        support: float = 3.6,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(vocabulary=vocabulary)
        if not widths or widths[-1] != width:
            raise ConfigError(
                f"EGRULanguageModel got widths {tuple(widths)} for a table of {width}; it takes at least one layer, "
                "and the last as wide as the table, whose weights the head shares. Change the last width."
            )
        self.table = nn.Embedding(vocabulary, width)
        nn.init.uniform_(self.table.weight, -0.1, 0.1)
        self.cells, self.drops = nn.ModuleList(), nn.ModuleList()
        for inputs, features in zip((width, *widths[:-1]), widths, strict=True):
            cell = EGRU(inputs, features, mean_threshold=mean_threshold, damping=damping, support=support)
            cell.axis = "tokens"
            self.cells.append(cell)
            self.drops.append(Dropout(dropout))
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (L, B, V)."""
        return F.linear(self.forward_blocks(x), self.table.weight, self.bias)

    def forward_blocks(self, x: Tensor) -> Tensor:
        """The events of the last layer, (L, B, C)."""
        x = self.table(self.check_ids(x))
        for cell, drop in zip(self.cells, self.drops, strict=True):
            x = drop(cell(x))
        return x


_CELL = {
    "kernel": "input_weight", "recurrent_kernel": "recurrent_weight", "bias": "input_bias",
    "recurrent_bias": "recurrent_bias", "thr": "threshold",
}  # fmt: skip


def remap(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published layout in our names."""
    ours = {}
    for key, value in state_dict.items():
        path, _, leaf = key.rpartition(".")
        # the head's weight is the table's, and the surrogate's constants are arguments here
        if (
            leaf in ("_max_norm", "dampening_factor", "pseudo_derivative_support")
            or key == "decoder.decoder.weight"
        ):
            continue
        if path.startswith("rnns."):
            ours[f"cells.{path.removeprefix('rnns.')}.{_CELL.get(leaf, leaf)}"] = value
        else:
            ours[{"embeddings.weight": "table.weight", "decoder.decoder.bias": "bias"}.get(key, key)] = value
    return ours


_register = partial(
    register_model, EGRULanguageModel, paper="2206.06178", remap=remap, input_size=(1, 1, 70), modality="text",
    task="lm", verdict_released="hybrid", verdict_repaired="hybrid",
)  # fmt: skip


@_register(
    params=31_699_150, params_released=31_699_150,
    published={"penn_treebank_perplexity": "57.0 to 57.3", "source": "arXiv 2206.06178"},
)  # fmt: skip
def egru_penn_treebank() -> dict[str, Any]:
    """Layers of 1350, 1350 and 750 units on 10,000 words."""
    return {"width": 750, "widths": (1350, 1350, 750), "vocabulary": 10_000}


@_register(
    params=49_180_928, params_released=49_180_928,
    published={"wikitext2_perplexity": "68 to 70.6", "source": "arXiv 2206.06178"},
)  # fmt: skip
def egru_wikitext2() -> dict[str, Any]:
    """The same layers on 33,278 words."""
    return {"width": 750, "widths": (1350, 1350, 750), "vocabulary": 33_278}


@_register(params=5_815_936, input_size=(1, 1, 256), unpublished=OUR_SHAPE)
def egru_6m() -> dict[str, Any]:
    """Layers of 704, 704 and 256 units on bytes."""
    return {"width": 256, "widths": (704, 704, 256), "vocabulary": 256}
