"""The language models that come with the package do what their cards say."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import spikedrive as sd
from spikedrive.data.text import load_tokens, open_tokenizer, windows
from spikedrive.engine.twin import Twin
from spikedrive.models import find_pretrained, get_card, list_pretrained
from spikedrive.tasks import lm

NAMES = list_pretrained("bits_per_byte")
BAR, MOST_BYTES = 2.6, 8e6


def card_of(name: str) -> dict[str, Any]:
    model, tag = name.split(".")
    return dict(get_card(model).weights[tag])


def model_of(name: str) -> Any:
    model, tag = name.split(".")
    return sd.create_model(model, pretrained=tag).eval()


def test_one_language_model_ships() -> None:
    assert NAMES == ["spikegpt_additive_6m.shakespeare"]


@pytest.mark.parametrize("name", NAMES)
def test_a_card_agrees_with_itself_and_keeps_to_its_budget(name: str) -> None:
    card = card_of(name)
    shipped = next(run for run in card["runs"] if run["seed"] == card["seed"])
    assert shipped["bits_per_byte"] == card["bits_per_byte"] <= BAR
    assert card["bar"] == {"bits_per_byte": BAR, "met": True}
    # eight bits a weight cost next to nothing
    assert abs(shipped["bits_per_byte"] - shipped["bits_per_byte_fp32"]) < 0.01
    assert all(run["minutes"] * run["threads"] <= 60 for run in card["runs"])
    assert find_pretrained(*name.split(".")).stat().st_size == card["bytes"] <= MOST_BYTES
    assert (card["audit"]["verdict"], card["audit"]["multiplications"]) == ("additive", 0)
    assert card["engine"]["equal"]


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_an_excerpt_of_the_test_text_gives_the_cards_figure(name: str) -> None:
    model, card = model_of(name), card_of(name)
    tokens = load_tokens("shakespeare", "test", open_tokenizer("bytes"))
    assert model.metadata["fingerprint"] == tokens.fingerprint
    ids, targets = next(windows(tokens, context=256, batch=16))
    found = lm.bits_per_byte(float(lm.loss(model(ids), targets)))
    assert found == pytest.approx(card["bits_per_byte_excerpt"], abs=1e-3)
    # a play begins with its list of roles, which reads unlike the rest
    assert found == pytest.approx(card["bits_per_byte"], rel=0.25)


@pytest.mark.parametrize("name", NAMES)
@torch.inference_mode()
def test_the_engine_reads_the_text_with_the_models_integers(name: str) -> None:
    deployed = sd.fuse(model_of(name))
    tokens = load_tokens("shakespeare", "test", open_tokenizer("bytes")).tokens
    program = sd.compile(deployed, torch.zeros(1, 1).long())
    stream, twin = program.stream(), sd.Stream(Twin(program, deployed).model, along="tokens")
    for token in torch.from_numpy(tokens[:16].astype("int64")):
        wanted = twin(token[None, None])[0].numpy() / program.output.scale
        assert (stream(token[None].numpy()).logits_int == wanted).all()
