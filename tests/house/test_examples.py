"""Every example in the README and the docs runs, and every command in them exists."""

from __future__ import annotations

import re
import runpy
import shlex
import textwrap
from pathlib import Path
from typing import Any

import pytest
import typer.main

from spikedrive.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"(?P<slow><!-- slow -->\n)?^(?P<indent> *)```(?P<language>\w+)[^\n]*\n(?P<body>.*?)^ *```", re.M | re.S
)


def blocks(page: Path, *languages: str) -> list[tuple[bool, str]]:
    """Whether each fenced block of these languages is slow, and its text."""
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [(bool(m["slow"]), textwrap.dedent(m["body"])) for m in found if m["language"] in languages]


def pages_with_python() -> list[Any]:
    """One case a page; a page with a slow block is slow as a whole, since its blocks build on each other."""
    cases = []
    for page in PAGES:
        code = blocks(page, "python")
        if code:
            marks = [pytest.mark.slow] if any(slow for slow, _ in code) else []
            cases.append(pytest.param(page, id=str(page.relative_to(ROOT)), marks=marks))
    return cases


@pytest.mark.parametrize("page", pages_with_python())
def test_the_python_on_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "example"}
    for number, (_, code) in enumerate(blocks(page, "python"), 1):
        exec(compile(code, f"{page.name}, block {number}", "exec"), names)


@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.name)
def test_the_example_scripts_run(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script), run_name="__main__")


def commands() -> list[Any]:
    """Every `spikedrive ...` line of the shell blocks, with the page it stands on."""
    cases = []
    for page in PAGES:
        for _, text in blocks(page, "bash", "console", "sh"):
            lines = text.replace("\\\n", " ").splitlines()
            words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
            cases += [pytest.param(w[1:], id=" ".join(w)) for w in words if w[:1] == ["spikedrive"]]
    return cases


@pytest.mark.parametrize("words", commands())
def test_the_commands_on_a_page_are_accepted(words: list[str]) -> None:
    group: Any = typer.main.get_command(app)
    with group.make_context("spikedrive", [], resilient_parsing=True) as context:
        verb = group.get_command(context, words[0])
        assert verb is not None, f"there is no verb {words[0]}"
        # of a group the verb behind it
        if hasattr(verb, "get_command"):
            group, words = verb, words[1:]
            verb = group.get_command(context, words[0])
            assert verb is not None, f"there is no verb {words[0]} behind {group.name}"
        # parses the options, and stops before anything runs
        assert verb.make_context(words[0], words[1:], parent=context).params
