"""Fills pages with what the code itself says, so that they cannot disagree: help texts and tables."""

from __future__ import annotations

from typing import Any

import conversion_table
import model_verdicts
import pipelines_table
import pretrained_cards
import recordings_table
import typer.main

from spikedrive.cli.app import app
from spikedrive.interop import neurobench
from spikedrive.interop.libraries import LIBRARIES


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with each mark replaced by what it stands for."""
    for mark, text in MARKS.items():
        if mark in markdown:
            markdown = markdown.replace(mark, text())
    return markdown


def _neurons_of_others() -> str:
    rows = [f"| {name} | {', '.join(f'`{n}`' for n in known.NEURONS)} |" for name, known in LIBRARIES.items()]
    return "\n".join(["| library | neurons with an exact counterpart |", "|---|---|", *rows])


def _verbs() -> str:
    group: Any = typer.main.get_command(app)
    sections = []
    with group.make_context("spikedrive", [], resilient_parsing=True) as context:
        for name in group.list_commands(context):
            verb = group.get_command(context, name)
            with verb.make_context(name, [], parent=context, resilient_parsing=True) as inner:
                sections.append(f"## {name}\n\n```text\n{verb.get_help(inner).strip()}\n```")
                for part in verb.list_commands(inner) if hasattr(verb, "list_commands") else ():
                    command = verb.get_command(inner, part)
                    with command.make_context(part, [], parent=inner, resilient_parsing=True) as deep:
                        sections.append(
                            f"### {name} {part}\n\n```text\n{command.get_help(deep).strip()}\n```"
                        )
    return "\n\n".join(sections)


MARKS = {
    "<!-- agreement of converted networks -->": conversion_table.table,
    "<!-- every model's verdict -->": model_verdicts.table,
    "<!-- every verb -->": _verbs,
    "<!-- direct, converted, hybrid -->": pipelines_table.table,
    "<!-- pretrained weights -->": pretrained_cards.table,
    "<!-- recordings of cameras -->": recordings_table.table,
    "<!-- neurons of others -->": _neurons_of_others,
    "<!-- differences from neurobench -->": neurobench.table,
}
