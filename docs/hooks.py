"""Fills the command line's page with the help texts themselves, so that they cannot disagree."""

from __future__ import annotations

from typing import Any

import typer.main

from spikedrive.cli.app import app

MARK = "<!-- every verb -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with the mark replaced by one section a verb."""
    return markdown.replace(MARK, _verbs()) if MARK in markdown else markdown


def _verbs() -> str:
    group: Any = typer.main.get_command(app)
    sections = []
    with group.make_context("spikedrive", [], resilient_parsing=True) as context:
        for name in group.list_commands(context):
            verb = group.get_command(context, name)
            with verb.make_context(name, [], parent=context, resilient_parsing=True) as inner:
                sections.append(f"## {name}\n\n```text\n{verb.get_help(inner).strip()}\n```")
    return "\n\n".join(sections)
