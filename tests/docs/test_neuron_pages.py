"""The pages of the neurons say what the code says."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from xml.etree import ElementTree

import pytest

from spikedrive.cli.neurons import card, every_name
from spikedrive.interop.nir import MAPPINGS
from spikedrive.ops.surrogate import FORMS

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    sys.path.insert(0, str(DOCS))
    try:
        import neuron_pages
    finally:
        sys.path.remove(str(DOCS))
    return neuron_pages


def picture(text: str) -> ElementTree.Element:
    start, end = text.index("<svg"), text.index("</svg>") + len("</svg>")
    return ElementTree.fromstring(text[start:end])


def test_every_neuron_stands_in_the_navigation(pages) -> None:
    config = SimpleNamespace(nav=[{"Start": "index.md"}, {"Neurons": [{"Overview": "neurons/index.md"}]}])
    section = pages.on_config(config).nav[1]["Neurons"]
    assert [next(iter(entry)) for entry in section[1]["Each neuron"]] == every_name()


@pytest.mark.parametrize("name", ["LIF", "PSN", "TwoPoint", "EGRU", "DelayedLinear", "ElasticBiSpike"])
def test_a_page_holds_equation_picture_facts_and_cost(pages, name) -> None:
    one = card(name)
    page = pages._page(one)
    assert page.startswith(f"# {name}\n") and "**Equation**" in page and "**Shapes**" in page
    assert (one.refuses_streaming or "**streams**: yes") in page and f"src/{one.source}" in page
    assert (Path(__file__).resolve().parents[2] / "src" / one.source).is_file()
    said = " ".join("".join(part.itertext()) for part in picture(page).iter() if part.tag.endswith("text"))
    assert "input" in said and "output" in said and "step" in said
    assert "currentColor" in page and pages.neuron_picture(one) in page


def test_pictures_are_the_same_every_time(pages) -> None:
    assert pages.neuron_picture(card("MaskedPSN")) == pages.neuron_picture(card("MaskedPSN"))


def test_the_marks_of_the_pages_become_tables(pages) -> None:
    for page in sorted((DOCS / "neurons").glob("*.md")):
        filled = pages.on_page_markdown(page.read_text())
        assert "<!--" not in filled
        rows = [line for line in filled.splitlines() if line.startswith("| ")]
        wanted = {"index.md": every_name(), "surrogates.md": FORMS, "nir.md": MAPPINGS}[page.name]
        assert all(any(name in row for row in rows) for name in wanted)


def test_arguments_stand_one_a_line_where_they_are_many(pages) -> None:
    shown = pages._call(card("L2MU"))
    assert "\n    decays=(0.5, 0.5, 0.5),\n" in shown and shown.endswith("\n)")
    assert pages._call(card("PSN")) == "PSN(steps=4, *, surrogate=None)"
