"""What language models are made of beside mixers: their base, embeddings, token neurons and channel mixers."""

from spikedrive.blocks.language.elastic import ElasticAttention, ElasticLinear, elastic_neuron
from spikedrive.blocks.language.embedding import BinaryEmbedding
from spikedrive.blocks.language.feed import ChannelMix, SpikeFeed
from spikedrive.blocks.language.ids import check_ids
from spikedrive.blocks.language.linear import NormLinear
from spikedrive.blocks.language.model import LanguageModel
from spikedrive.blocks.language.positions import LearnedPositions
from spikedrive.blocks.language.tokens import TokenShift, token_neuron

__all__ = [
    "BinaryEmbedding",
    "ChannelMix",
    "ElasticAttention",
    "ElasticLinear",
    "LanguageModel",
    "LearnedPositions",
    "NormLinear",
    "SpikeFeed",
    "TokenShift",
    "check_ids",
    "elastic_neuron",
    "token_neuron",
]
