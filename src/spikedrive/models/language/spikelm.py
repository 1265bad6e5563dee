"""SpikeLM: a BERT whose linear layers read elastic bi-spikes, as an encoder of texts and as a causal model.

*Source*: "SpikeLM: Towards General Spike-Driven Language Modeling via Elastic Bi-Spiking Mechanisms", arXiv 2406.03287;
code Xingrun-Xing/SpikeLM, commit 8c6f0a56, Apache-2.0 by the headers of its files (written here from its description;
`remap` reads the layout of its classifiers). Its code is a BERT only; the causal form here is ours.

*Where we differ*: the released code sets the amplitudes in its first call and keeps them; here `calibrate_amplitudes`
does, and `neuron={"name": "ElasticBiSpike", "learn_amplitude": True}` trains them. Nothing is dropped from the softmax,
and what is dropped elsewhere is the same at all steps. `pooling="mean"` is for encoders that answer with the mean of
their tokens, such as all-MiniLM-L6-v2.

*Not spike-driven*: queries, softmax, GELU, LayerNorm, the pooler and the head work on real numbers, and an amplitude
for each step folds into no weight: the audit says `hybrid`.

*Expected*: benchmarks/results/spikelm.csv, once `python benchmarks/spikelm.py` has run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from spikedrive.blocks import NeuronLike, SpikingModel
from spikedrive.blocks.language import (
    ElasticAttention,
    ElasticLinear,
    LanguageModel,
    LearnedPositions,
    check_ids,
)
from spikedrive.blocks.model import select_levels
from spikedrive.blocks.readout import MeanOverTime
from spikedrive.blocks.residual import Dropout
from spikedrive.encoders import Direct
from spikedrive.errors import CheckpointError, DataError, ValueRangeError, unknown_name
from spikedrive.models._registry import OUR_SHAPE, register_model
from spikedrive.neurons.neuron import check_count

Pooling = Literal["first", "mean"]
_EPSILON = 1e-12
_HEAD = "head.linear."


class _Layer(nn.Module):
    """Attention and two linear layers, each branch in front of a norm of the sum (post-norm)."""

    def __init__(
        self, width: int, heads: int, hidden: int, *, steps: int, neuron: NeuronLike | None, dropout: float,
        causal: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.attention = ElasticAttention(width, heads, steps=steps, neuron=neuron, causal=causal)
        self.expand = ElasticLinear(width, hidden, steps=steps, neuron=neuron)
        self.reduce = ElasticLinear(hidden, width, steps=steps, neuron=neuron)
        self.attention_norm, self.norm = (nn.LayerNorm(width, eps=_EPSILON) for _ in range(2))
        self.gelu, self.dropout = nn.GELU(), Dropout(dropout)

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        x = self.attention_norm(x + self.dropout(self.attention(x, seen)))
        return self.norm(x + self.dropout(self.reduce(self.gelu(self.expand(x)))))


class _Embedding(nn.Module):
    """Words, places and the kind of the text (there is one), their norm."""

    def __init__(self, vocabulary: int, width: int, context: int, kinds: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.kinds, self.norm = nn.Parameter(torch.empty(kinds, width)), nn.LayerNorm(width, eps=_EPSILON)
        for table in (self.words.weight, self.places.weight, self.kinds):
            nn.init.normal_(table, std=0.02)

    def forward(self, ids_BL: Tensor) -> Tensor:
        places = self.places.weight[: ids_BL.shape[1]]
        return self.norm(self.words(ids_BL) + places + self.kinds[0])


class SpikeLM(SpikingModel):
    """Embeddings, shown at every step; layers; mean over the steps; [pooler,] dropout, linear head.

    Tokens of the id `padding` are looked at by no other. `pooling` is "first" (linear layer and tanh on the first
    token, as BERT) or "mean" (of all tokens but padding). With `neuron=None` it is the dense encoder.

    *Shapes*: ids (L, B) -> (B, K), L up to `context`.
    *Multiplies*: queries, softmax, GELU, norms, pooler and head; an amplitude for each step.
    *Raises*: ShapeError, DtypeError, ValueRangeError for other ids, or a text of padding alone; ConfigError for
    arguments out of range; UnknownNameError for another pooling.
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        hidden: int,
        vocabulary: int = 30522,
        context: int = 512,
        kinds: int = 2,
        classes: int = 2,
        steps: int = 4,
        pooling: Pooling = "first",
        dropout: float = 0.1,
        padding: int = 0,
        neuron: NeuronLike | None = "ElasticBiSpike",
    ) -> None:
        super().__init__(input="tokens", in_channels=1, classes=classes, steps=steps)
        for key, value in (("depth", depth), ("vocabulary", vocabulary), ("context", context)):
            check_count("SpikeLM", key, value)
        if pooling not in get_args(Pooling):
            raise unknown_name("pooling", pooling, get_args(Pooling))
        self.vocabulary, self.context, self.padding = vocabulary, context, padding
        self.embedding = _Embedding(vocabulary, width, context, kinds)
        self.dropout, self.encoder = Dropout(dropout), Direct(steps)
        self.layers = nn.ModuleList(
            _Layer(width, heads, hidden, steps=steps, neuron=neuron, dropout=dropout) for _ in range(depth)
        )
        self.readout = MeanOverTime()
        self.pooler = nn.Linear(width, width) if pooling == "first" else None
        self.head = nn.Module()
        self.head.linear = nn.Linear(width, classes)
        for linear in (self.pooler, self.head.linear):
            if linear is not None:
                nn.init.normal_(linear.weight, std=0.02)
                nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K)."""
        return self.head.linear(self.dropout(self.embed(x)[None])[0])  # pyright: ignore[reportCallIssue]

    def embed(self, x: Tensor) -> Tensor:
        """What the head reads of a text, (B, C)."""
        tokens = self.forward_features(x)[0]
        if self.pooler is not None:
            return torch.tanh(self.pooler(tokens[:, 0]))
        seen = (x.transpose(0, 1) != self.padding).to(tokens.dtype).unsqueeze(2)
        return (tokens * seen).sum(1) / seen.sum(1)

    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """The one level that there is: the tokens behind the last layer, their mean over the steps, (B, L, C)."""
        select_levels(levels, 1)
        ids = self._checked(x).transpose(0, 1)
        stream = self.dropout(self.encoder(self.embedding(ids)))
        seen = (ids != self.padding).expand(self.steps, *ids.shape)
        for layer in self.layers:
            stream = layer(stream, seen)
        return [self.readout(stream)]

    def _checked(self, ids: Tensor) -> Tensor:
        name = self.card.name if self.card else type(self).__name__
        check_ids(name, ids, vocabulary=self.vocabulary, context=self.context)
        if not torch.compiler.is_compiling() and bool((ids == self.padding).all(0).any()):
            raise ValueRangeError(
                f"{name} got a text of padding (token {self.padding}) alone; it takes at least one token of text. "
                "Leave empty texts out."
            )
        return ids


class SpikeCausalLM(LanguageModel):
    """Words and positions, layers whose tokens see those before them, mean over the steps, linear head.

    *Shapes*: ids (L, B) -> (L, B, V), L up to `context`.
    *Multiplies*: as `SpikeLM`.
    *Raises*: ShapeError beyond the context; as `LanguageModel`.
    """

    def __init__(
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        vocabulary: int,
        context: int,
        steps: int = 4,
        dropout: float = 0.0,
        neuron: NeuronLike | None = "ElasticBiSpike",
    ) -> None:
        super().__init__(vocabulary=vocabulary, context=context)
        check_count("SpikeCausalLM", "steps", steps)
        self.steps = int(steps)
        self.table, self.positions = nn.Embedding(vocabulary, width), LearnedPositions(context, width)
        nn.init.normal_(self.table.weight, std=0.02)
        self.in_norm, self.encoder = nn.LayerNorm(width, eps=_EPSILON), Direct(self.steps)
        self.layers = nn.ModuleList(
            _Layer(width, heads, 4 * width, steps=self.steps, neuron=neuron, dropout=dropout, causal=True)
            for _ in range(depth)
        )
        self.readout, self.head = MeanOverTime(), nn.Linear(width, vocabulary, bias=False)
        nn.init.normal_(self.head.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (L, B, V)."""
        return self.head(self.forward_blocks(x))

    def forward_blocks(self, x: Tensor) -> Tensor:
        """The tokens behind the last layer, their mean over the steps, (L, B, C)."""
        rows = self.in_norm(self.positions(self.table(self.check_ids(x))))
        stream = self.encoder(rows.transpose(0, 1))
        for layer in self.layers:
            stream = layer(stream)
        return self.readout(stream).transpose(0, 1)


_NAMES = (
    (r"^(bert\.)?embeddings\.word_embeddings\.", "embedding.words."),
    (r"^(bert\.)?embeddings\.position_embeddings\.", "embedding.places."),
    (r"^(bert\.)?embeddings\.token_type_embeddings\.weight$", "embedding.kinds"),
    (r"^(bert\.)?embeddings\.LayerNorm\.", "embedding.norm."),
    (r"^(bert\.)?encoder\.layer\.", "layers."),
    (r"^(bert\.)?pooler\.dense\.", "pooler."),
    (r"^classifier\.", _HEAD),
    (r"\.attention\.self\.clip_(key|value)\.(\d+)$", r".attention.\1_neuron.amplitude.\2"),
    (r"\.attention\.self\.(query|key|value)\.", r".attention.\1."),
    (r"\.attention\.output\.dense\.", ".attention.output."),
    (r"\.attention\.output\.LayerNorm\.", ".attention_norm."),
    (r"\.intermediate\.dense\.", ".expand."), (r"\.output\.dense\.", ".reduce."), (r"\.output\.LayerNorm\.", ".norm."),
    (r"\.act_clip_val\.(\d+)$", r".neuron.amplitude.\1"),
    (r"(\.(?:query|key|value|output|expand|reduce))\.(weight|bias)$", r"\1.linear.\2"),
)  # fmt: skip
_UNUSED = re.compile(r"position_ids$|weight_clip_val$")


def rename(key: str) -> str:
    """Our name for a parameter of the published code, or of any BERT in Hugging Face's names.

    >>> rename("bert.encoder.layer.0.attention.self.key.act_clip_val.3")
    'layers.0.attention.key.neuron.amplitude.3'
    >>> rename("encoder.layer.11.output.dense.bias")
    'layers.11.reduce.linear.bias'
    """
    for pattern, ours in _NAMES:
        key = re.sub(pattern, ours, key)
    return key


def remap(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published layout in our names; the amplitudes of all steps become one tensor."""
    ours: dict[str, Tensor] = {}
    steps: dict[str, dict[int, Tensor]] = {}
    for key, value in state_dict.items():
        if _UNUSED.search(key):
            continue
        name, _, step = rename(key).rpartition(".")
        if name.endswith(".amplitude"):
            steps.setdefault(name, {})[int(step)] = value.reshape(())
        else:
            ours[f"{name}.{step}"] = value
    return ours | {name: torch.stack([each[t] for t in sorted(each)]) for name, each in steps.items()}


@dataclass(frozen=True)
class Initialised:
    """What `load_bert` did: names of ours that the folder does not have, and of its that we do not use."""

    missing: tuple[str, ...]
    surplus: tuple[str, ...]


@torch.no_grad()
def load_bert(model: SpikeLM, folder: str | os.PathLike[str]) -> Initialised:
    """Fill an encoder from a BERT in a folder of Hugging Face's layout; nothing is fetched.

    The head keeps its own values, and so do amplitudes that the folder does not have: `calibrate_amplitudes` sets them.
    A pooler, or heads of pretraining, may be left over.

    *Raises*: DataError for a folder without such weights, or of another activation; CheckpointError naming the keys
    that are missing or of another shape: the model is then untouched.
    """
    path = Path(folder)
    tensors = remap(_read_bert(path))
    own = model.state_dict()
    free = {key for key in own if key.startswith(_HEAD) or key.endswith("neuron.amplitude")}
    lacking = sorted(set(own) - set(tensors) - free)
    shapes = [
        f"{key} is {tuple(value.shape)}, not {tuple(own[key].shape)}"
        for key, value in tensors.items()
        # another number of classes is another task, whose head starts anew
        if key in own and value.shape != own[key].shape and not key.startswith(_HEAD)
    ]
    if lacking or shapes:
        faults = [f"missing: {', '.join(lacking[:4])} ({len(lacking)})"] if lacking else []
        faults += [f"of another shape: {', '.join(shapes[:4])} ({len(shapes)})"] if shapes else []
        raise CheckpointError(
            f"{path} does not fit the model {model.card.name if model.card else 'SpikeLM'}: {'; '.join(faults)}. Build "
            f"the model with its arguments: {bert_arguments(path)}."
        )
    taken = {k: v for k, v in tensors.items() if k in own and not k.startswith(_HEAD)}
    model.load_state_dict({**own, **taken})
    return Initialised(tuple(sorted(set(own) - set(taken))), tuple(sorted(set(tensors) - set(taken))))


def bert_arguments(folder: str | os.PathLike[str]) -> dict[str, int]:
    """The arguments of `create_model` for a BERT of that shape, from its config.json.

    *Raises*: DataError.
    """
    path = Path(folder) / "config.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["model_type"] != "bert" or known.get("hidden_act", "gelu") != "gelu":
            raise ValueError(f"it is a {known['model_type']} with {known.get('hidden_act', 'gelu')}")
        return {
            "width": known["hidden_size"], "depth": known["num_hidden_layers"], "heads": known["num_attention_heads"],
            "hidden": known["intermediate_size"], "vocabulary": known["vocab_size"],
            "context": known["max_position_embeddings"], "kinds": known["type_vocab_size"],
            "padding": known.get("pad_token_id", 0),
        }  # fmt: skip
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path} cannot be read as a BERT's ({error}); a folder of Hugging Face's layout with a config.json of "
            "model_type bert and GELU, and model.safetensors, is accepted. Check the folder."
        ) from error


def _read_bert(path: Path) -> dict[str, Tensor]:
    bert_arguments(path)
    file = path / "model.safetensors"
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{file} cannot be read ({error}); weights in safetensors are accepted. Convert a pytorch_model.bin with "
            "transformers: model.save_pretrained(folder)."
        ) from error


_register = partial(
    register_model, SpikeLM, paper="2406.03287", modality="text", task="text_classification", input_size=(1, 1, 128),
    verdict_released="hybrid", verdict_repaired="hybrid",
)  # fmt: skip
_register_causal = partial(
    register_model, SpikeCausalLM, paper="2406.03287", modality="text", task="lm", input_size=(1, 1, 256),
    verdict_released="hybrid", verdict_repaired="hybrid", unpublished=OUR_SHAPE,
)  # fmt: skip
_MINILM = {"width": 384, "depth": 6, "heads": 12, "hidden": 1536, "pooling": "mean"}


@_register(
    params=109_483_778, params_released=109_483_778, remap=remap,
    published={"glue_average": 76.5, "source": "arXiv 2406.03287, its GLUE table at T = 4, as its readers quote it"},
)  # fmt: skip
def spikelm_110m() -> dict[str, Any]:
    """12 layers of width 768, the shape of BERT-base."""
    return {"width": 768, "depth": 12, "heads": 12, "hidden": 3072}


@_register(params=22_566_146, unpublished=OUR_SHAPE)
def spikelm_23m() -> dict[str, Any]:
    """6 layers of width 384, the shape of all-MiniLM-L6-v2."""
    return dict(_MINILM)


@_register(params=22_566_146, unpublished=OUR_SHAPE)
def bert_dense_23m() -> dict[str, Any]:
    """The dense twin of `spikelm_23m`: all-MiniLM-L6-v2 itself, with a head."""
    return {**_MINILM, "steps": 1, "neuron": None}


@_register_causal(params=5_725_440)
def spikelm_causal_6m() -> dict[str, Any]:
    """7 layers of width 256 on bytes, 256 tokens of context."""
    return {"width": 256, "depth": 7, "heads": 4, "vocabulary": 256, "context": 256}
