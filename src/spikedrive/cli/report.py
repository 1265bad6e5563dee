"""`spikedrive report`: a run's folder as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spikedrive.cli.output import JsonFlag, emit


def verb(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    as_json: JsonFlag = False,
) -> None:
    """Write a run's report as one HTML page.

    It is made of the files in the run's folder alone, and opens without a network.
    """
    from spikedrive.reports import write_report

    page = write_report(run)
    emit({"report": str(page), "bytes": page.stat().st_size}, str(page), as_json)
