"""One causal shell for any sequence mixer, and the SpikeGPT whose products all meet spikes.

*Source*: the frame of SpikeGPT (arXiv 2302.13939): a mixer of tokens and one of channels in turn, each on a shortcut.

*Where the additive form differs from the released one*: shortcuts add membrane potentials instead of spikes, and a
neuron stands in front of every linear layer instead of a LayerNorm; norms are BatchNorms behind linear layers, which
fold into them; the decayed sum is a leaky neuron whose decay is a shift, and the receptance gates by an AND. The audit
says `additive` of this form, whose mixer is `spike_memory` and which compiles; the card of `spiking_lm` has its verdict
on each mixer.

*Expected*: benchmarks/results/shakespeare.csv, once `python benchmarks/shakespeare.py` has run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from spikedrive.blocks import NeuronLike, make_sequence_mixer
from spikedrive.blocks.language import LanguageModel, SpikeFeed, token_neuron
from spikedrive.models._registry import OUR_SHAPE, register_model
from spikedrive.neurons.neuron import check_number

_LEVELS = {"name": "ILIF", "levels": 4}


class _Block(nn.Module):
    """A mixer of tokens and one of channels, each on a membrane shortcut."""

    def __init__(
        self, width: int, *, layer: int, layers: int, mixer: str | Mapping[str, Any], ratio: float, neuron: NeuronLike
    ) -> None:  # fmt: skip
        super().__init__()
        self.mixer = make_sequence_mixer(mixer, width, layer=layer, layers=layers)
        self.feed = SpikeFeed(width, ratio, gain=layers**-0.5, neuron=neuron)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mixer(x)
        return x + self.feed(x)


class SpikingLM(LanguageModel):
    """A table of tokens, blocks on membrane potentials, neuron, linear head.

    `mixer` is a registered sequence mixer, or `{"name": ..., **arguments}`; `exact_layers` are layers that mix by
    `exact_mixer` instead, exact attention for a hybrid whose other layers forget.

    *Shapes*: ids (L, B) -> (L, B, V).
    *Multiplies*: none but what the mixer does.
    *Raises*: UnknownNameError for an unknown mixer; as `LanguageModel`.
    """

    def __init__(
        self,
        *,
        mixer: str | Mapping[str, Any] = "spike_memory",
        width: int,
        depth: int,
        vocabulary: int,
        ratio: float = 4,
        exact_layers: Sequence[int] = (),
        exact_mixer: str | Mapping[str, Any] = "attention",
        neuron: NeuronLike = _LEVELS,
    ) -> None:
        super().__init__(vocabulary=vocabulary)
        for layer in exact_layers:
            check_number("SpikingLM", "exact_layers", layer, low=0, high=depth - 1)
        self.table = nn.Embedding(vocabulary, width)
        self.blocks = nn.Sequential(
            *(
                _Block(
                    width,
                    layer=i,
                    layers=depth,
                    mixer=exact_mixer if i in exact_layers else mixer,
                    ratio=ratio,
                    neuron=neuron,
                )
                for i in range(depth)
            )
        )
        self.neuron = token_neuron(neuron)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (L, B, V)."""
        return self.head(self.neuron(self.forward_blocks(x)))

    def forward_blocks(self, x: Tensor) -> Tensor:
        """The membrane potentials behind the last block, (L, B, C)."""
        return self.blocks(self.table(self.check_ids(x)))


_register = partial(
    register_model, SpikingLM, paper="2302.13939", input_size=(1, 1, 256), modality="text", task="lm", levels=4,
)  # fmt: skip


@_register(params=5_931_264, unpublished=OUR_SHAPE, verdict_released="additive", verdict_repaired="additive")
def spikegpt_additive_6m() -> dict[str, Any]:
    """8 blocks of width 256 on bytes."""
    return {"width": 256, "depth": 8, "vocabulary": 256}


# of the mixers that come with the package: all but one read real numbers behind a norm
_VERDICTS = dict.fromkeys(
    (f"mixer={name}" for name in ("attention", "egru", "lmu", "select_merge", "spiking_lmu", "wkv")), "hybrid"
)


@_register(params=5_931_264, unpublished=OUR_SHAPE, verdicts={**_VERDICTS, "mixer=spike_memory": "additive"})
def spiking_lm() -> dict[str, Any]:
    """The shell, to be built with `mixer=...`."""
    return {"width": 256, "depth": 8, "vocabulary": 256}
