"""Models: one file per published family, in folders of kindred ones."""

from spikedrive.models import convolutional, events, language, metaformers
from spikedrive.models._pretrained import find_pretrained, list_pretrained
from spikedrive.models._registry import (
    MODELS,
    ModelCard,
    create_model,
    from_reference,
    get_card,
    list_models,
    register_model,
)
from spikedrive.models._weights import load_model, load_weights, save_model

__all__ = [
    "MODELS", "ModelCard", "convolutional", "create_model", "events", "find_pretrained", "from_reference", "get_card",
    "language", "list_models", "list_pretrained", "load_model", "load_weights", "metaformers", "register_model",
    "save_model",
]  # fmt: skip
