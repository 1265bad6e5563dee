"""What can be built, and what is known of it."""

from __future__ import annotations

import json
import re

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


def test_a_card_of_weights_has_a_line_for_every_figure(command: Command) -> None:
    card = json.loads(command("show", "spike_driven_transformer_nano.fashion", "--json").out)
    text = command("show", "spike_driven_transformer_nano.fashion").out
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    # 0 is a seed, and not nothing
    assert lines["runs.0.seed"] == "0"
    assert float(lines["runs.1.accuracy"]) == card["runs"][1]["accuracy"]
    assert "audit.density_by_layer.head.linear" in lines
    assert "{'" not in text
    mean = sum(100 * run["accuracy"] for run in card["runs"]) / len(card["runs"])
    assert re.search(rf"^over seeds +{mean:.2f} ± \d\.\d\d %$", text, re.MULTILINE)


def test_a_models_card_names_its_weights(command: Command) -> None:
    text = command("show", "sew_resnet_nano").out
    assert re.search(r"^weights\.fashion +spikedrive show sew_resnet_nano\.fashion$", text, re.MULTILINE)
    assert "{'" not in text


def test_unknown_weights_name_the_known(command: Command) -> None:
    for name in ("sew_resnet_nano.fashio", "sew_resnet34.fashion"):
        answer = command("show", name)
        assert answer.code == 2
        assert f"There is no file of weights named '{name}'" in answer.err
        assert "sew_resnet_nano.fashion" in answer.err
