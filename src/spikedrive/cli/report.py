"""`spikedrive report`: a run's folder as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spikedrive.cli.output import JsonFlag, emit


def verb(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    data: Annotated[
        str | None,
        typer.Option(help="Audit, compile and verify the run on this data first; a name or a folder."),
    ] = None,
    split: Annotated[str, typer.Option(help="The part of --data whose images are verified.")] = "test",
    as_json: JsonFlag = False,
) -> None:
    """Write a run's report as one HTML page.

    It is made of the files in the run's folder alone, and opens without a network. With --data those that training
    does not write are made first.
    """
    from spikedrive.reports import write_report

    if data is not None:
        from spikedrive.cli import stages
        from spikedrive.cli.target import load_trained

        stages.examine(load_trained(str(run)), data, split, run, {})
    page = write_report(run)
    emit({"report": str(page), "bytes": page.stat().st_size}, str(page), as_json)
