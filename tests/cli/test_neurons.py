"""What can fire, and what is known of it."""

from __future__ import annotations

import contextlib
import io
import json

import pytest

from cli.conftest import Command
from spikedrive.cli import main
from spikedrive.neurons import list_cells, list_neurons


@pytest.fixture(scope="module")
def listed() -> list[dict]:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["neurons", "--json"]) == 0
    return json.loads(printed.getvalue())


def test_every_neuron_and_cell_is_listed(listed) -> None:
    assert {row["name"] for row in listed} == {*list_neurons(), *list_cells()}


def test_every_entry_is_complete(listed) -> None:
    for row in listed:
        assert "*Equation*" in row["docstring"] and row["signature"].startswith("("), row["name"]
        assert sum(row["cost"].values()) > 0 and min(row["cost"].values()) >= 0, row["name"]
        assert row["nir"]["conversion"] and row["source"].startswith("spikedrive/neurons/"), row["name"]


def test_states_carry_the_names_of_the_operation(listed) -> None:
    states = {row["name"]: row["states"] for row in listed}
    assert states["LIF"] == ["v"] and states["Izhikevich"] == ["v", "w"] and states["ILIF"] == []
    assert states["MaskedPSN"] == ["past"] and states["EGRU"] == ["c", "y"]


def test_a_pattern_narrows_the_table(command: Command) -> None:
    lines = command("neurons", "P*LIF").out.splitlines()
    assert lines[0].split()[:2] == ["neuron", "emits"] and lines[1].split()[:3] == ["PLIF", "binary", "0..1"]
    assert "additions" in lines[-1]


def test_one_neuron_in_full(command: Command) -> None:
    text = command("neurons", "LIF").out
    assert text.startswith("LIF(decay=0.5, threshold=1.0, *, decay_input=True")
    assert "charge  h = d v + (1 - d)(r + x)" in text
    assert "a step costs   1 addition, 1 compare, 1 shift, 1 selection" in text
    assert "NIR            LIF: tau = dt / (1 - decay)" in text
    shown = json.loads(command("neurons", "PSN", "--json").out)
    assert (
        shown["refuses_streaming"] and shown["nir"]["node"] is None and shown["cost"]["multiplications"] == 4
    )


def test_an_unknown_neuron_names_the_nearest(command: Command) -> None:
    answer = command("neurons", "LFI")
    assert answer.code == 2 and "There is no neuron named 'LFI'" in answer.err and "LIF" in answer.err
