"""One self-contained page out of a run's folder."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

import plotly.graph_objects as go
import plotly.io
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

import spikedrive
from spikedrive.errors import DataError
from spikedrive.files import atomic_write
from spikedrive.reports.artifacts import exists
from spikedrive.reports.pictures import heat_gradient
from spikedrive.reports.sections import build_sections
from spikedrive.reports.style import quantity
from spikedrive.reports.summary import build_summary

REPORT = "report.html"


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Write `report.html` into a run's folder from the files there, and nothing else.

    The page is one file that opens without a network. A section whose file is not there yet says which
    command makes it.

    *Raises*: DataError when the folder is no run, or a file in it is truncated or damaged; StorageError when the
    page cannot be written.
    """
    run = Path(run_folder)
    if not exists(run, "recipe.json"):
        came = "has no recipe.json" if run.is_dir() else "is not a folder"
        raise DataError(
            f"{run} {came}; the folder of a run is accepted. Make one: spikedrive train RECIPE --out {run}"
        )
    page = _render(run)
    with atomic_write(run / REPORT) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return run / REPORT


def _render(run: Path) -> str:
    environment = Environment(
        loader=PackageLoader("spikedrive.reports", "page"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters |= {"plot_json": _plot_json, "quantity": quantity}
    summary = build_summary(run)
    return environment.get_template("report.html").render(
        version=spikedrive.__version__,
        title=summary.title,
        subtitle=summary.subtitle,
        verdicts=summary.verdicts,
        merits=summary.merits,
        sections=build_sections(run, page=REPORT),
        folder=run.name,
        gradient=heat_gradient(),
        css=Markup(_asset("report.css")),
        js=Markup(_asset("report.js")),
        plotly_js=Markup(get_plotlyjs()),
    )


def _asset(name: str) -> str:
    return (files("spikedrive.reports") / "page" / name).read_text("utf-8")


def _plot_json(plot: go.Figure) -> Markup:
    # inside a script element only "<" could end it early
    return Markup(str(plotly.io.to_json(plot)).replace("<", "\\u003c"))
