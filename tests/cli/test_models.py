"""What can be built, and what is known of it."""

from __future__ import annotations

import json

from cli.conftest import Command
from spikedrive.models import get_card, list_models


def test_every_model_is_listed(command: Command) -> None:
    listed = json.loads(command("models", "--json").out)
    assert [row["model"] for row in listed] == list_models()
    nano = next(row for row in listed if row["model"] == "meta_spikeformer_nano")
    assert nano["params"] == get_card("meta_spikeformer_nano").params
    assert nano["size"] == [1, 28, 28]


def test_a_pattern_narrows_the_list(command: Command) -> None:
    lines = command("models", "meta_spikeformer_*m").out.splitlines()[1:]
    assert lines
    assert all(line.startswith("meta_spikeformer_") for line in lines)
    assert not any(line.startswith("meta_spikeformer_nano") for line in lines)


def test_a_pattern_that_matches_nothing_names_the_nearest(command: Command) -> None:
    answer = command("models", "meta_spikformer_nano")
    assert answer.code == 2
    assert "There is no model named 'meta_spikformer_nano'" in answer.err
    assert "meta_spikeformer_nano" in answer.err


def test_a_card_is_shown_in_full(command: Command) -> None:
    shown = json.loads(command("show", "meta_spikeformer_55m", "--json").out)
    assert shown["params_released"] == 55350248
    text = command("show", "meta_spikeformer_55m").out
    assert "55350248" in text
    assert "licence" in text


def test_an_unknown_model_names_the_nearest(command: Command) -> None:
    answer = command("show", "meta_spikeformer_nan0")
    assert answer.code == 2
    assert "The nearest: meta_spikeformer_nano" in answer.err


def test_weights_of_the_package_are_listed_with_what_was_measured(command: Command) -> None:
    listed = json.loads(command("models", "sew_*", "--pretrained", "--json").out)
    assert list(listed) == ["sew_resnet_nano.fashion"]
    card = listed["sew_resnet_nano.fashion"]
    line = command("models", "sew_*", "--pretrained").out.splitlines()[1]
    mean = sum(100 * run["accuracy"] for run in card["runs"]) / len(card["runs"])
    assert f" {mean:.2f} " in line
    assert json.loads(command("show", "sew_resnet_nano.fashion", "--json").out) == card
