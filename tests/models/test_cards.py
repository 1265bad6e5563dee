"""A card speaks of the model of its name, and of no other that is built from the same file."""

from __future__ import annotations

import pytest
import torch

import spikedrive as sd
from spikedrive.blocks import describe_neuron
from spikedrive.models import MODELS, get_card
from spikedrive.neurons import LIF

CLAIMS = {
    "params_released": None, "params_derived": False, "published": {}, "verdict_released": None,
    "verdict_repaired": None, "verdicts": {}, "weights": {}, "measured": {}, "recipe": None,
}  # fmt: skip


@pytest.mark.parametrize("name", sd.list_models())
def test_other_arguments_do_not_get_the_figures_of_the_name(name: str) -> None:
    config = MODELS[name].config
    key = "classes" if "classes" in config else "vocabulary"
    if get_card(name).task == "flow":
        # a flow has two components; what can differ is what it sees
        key = "in_channels"
    with torch.device("meta"):
        same, other = sd.create_model(name), sd.create_model(name, **{key: config[key] + 1})
    assert same.card == get_card(name)
    assert other.card is not None and other.card.name == name
    assert {field: getattr(other.card, field) for field in CLAIMS} == CLAIMS
    assert other.card.params > get_card(name).params
    assert (other.in_channels if key == "in_channels" else other.card.classes) == config[key] + 1
    assert (
        f"built with {key}={config[key] + 1}: the figures of {name} are not about it"
        in other.card.unpublished
    )


def test_another_mixer_is_another_model() -> None:
    with torch.device("meta"):
        model = sd.create_model("spikegpt_additive_6m", mixer="attention")
    assert model.card is not None and model.card.verdict_released is None
    assert model.card.params == sum(p.numel() for p in model.parameters())
    assert model.card.params != get_card("spikegpt_additive_6m").params


def test_the_same_arguments_in_other_words_are_the_same_model(tmp_path) -> None:
    name = "meta_spikeformer_nano"
    config = MODELS[name].config
    words = {key: list(value) for key, value in config.items() if isinstance(value, tuple)}
    assert words
    neuron = describe_neuron(config["neuron"])
    words["neuron"] = {"name": neuron} if isinstance(neuron, str) else dict(neuron)
    model = sd.create_model(name, **words)
    sd.save_model(model, tmp_path / "m.safetensors")
    assert model.card == sd.load_model(tmp_path / "m.safetensors").card == get_card(name)


def test_a_neuron_of_ones_own_claims_nothing() -> None:
    class Mine(LIF):
        """Of the test."""

    card = sd.create_model("meta_spikeformer_nano", neuron=lambda: Mine()).card
    assert card is not None and card.verdict_released is None and "neuron=" in card.unpublished
