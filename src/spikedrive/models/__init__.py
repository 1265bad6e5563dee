"""Models: one file per published family."""

from spikedrive.models import meta_spikeformer, spike_driven_transformer
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
    "MODELS", "ModelCard", "create_model", "from_reference", "get_card", "list_models", "load_model", "load_weights",
    "meta_spikeformer", "register_model", "save_model", "spike_driven_transformer",
]  # fmt: skip
