"""The comparison as a page in Markdown, so that documentation can hold it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from spikedrive.errors import DataError
from spikedrive.files import atomic_write
from spikedrive.reports.comparison.plots import draw
from spikedrive.reports.style import quantity

ARTIFACT = "comparison.json"
PAGE, PICTURE = "comparison.md", "comparison.svg"
HEAD = (
    "model", "parameters", "accuracy, %", "over seeds, %", "ReLU twin, %", "density", "additions", "energy",
    "dense twin's", "engine, ms", "verdict",
)  # fmt: skip


def write_comparison(folder: str | os.PathLike[str]) -> Path:
    """Write comparison.md and comparison.svg beside the comparison.json that they show.

    *Raises*: DataError when that file is missing, damaged or names no model; StorageError.
    """
    where = Path(folder)
    found = _read(where / ARTIFACT)
    draw(found["models"], where / PICTURE)
    with atomic_write(where / PAGE) as temporary:
        temporary.write_text(_page(found), encoding="utf-8")
    return where / PAGE


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        found["models"][0]["name"]
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(
            f"{path} holds no comparison ({type(error).__name__}: {error}); `spikedrive compare` writes one with at "
            "least one model. Run it again."
        ) from error
    return found


def _page(found: dict[str, Any]) -> str:
    rows = [HEAD, ["---"] * len(HEAD), *(_cells(row) for row in found["models"])]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    machine = found["machine"]
    commit = found["commit"] or "unknown"
    commit = f"{commit[:10]}{' with changes' if commit.endswith('+') else ''}"
    return f"""# Small models side by side

Trained models on the same images: what they answer rightly, and what one answer costs. Those named MODEL.TAG come with
the package (`spikedrive models --pretrained`).

{table}

![Accuracy against additions, energy, parameters, density and latency]({PICTURE})

- **accuracy**: of these weights in fp32, on the {found["images"]:,} test images of {found["data"]}.
- **over seeds**, **ReLU twin**: from the cards of the package's weights, and on other images, all 10,000 test images of
  Fashion-MNIST: mean and standard deviation of the same training, in brackets how often it ran (one run has no
  deviation); the twin is the network with ReLU in place of its neurons, trained alike. `-` was not measured.
- **density**: the share of what the layers behind neurons read that is not zero, weighted by their dense
  multiply-accumulates.
- **additions**, **energy**: of one image, counted by the audit on {found["audited"]} training images and priced by the
  table {found["energy_table"]}, memory left out; an integer s is s additions. **dense twin's**: the energy of the same
  layers where every weight is multiplied.
- **engine, ms**: what the integer program takes for one image on one thread of this processor ({machine["cpu"]}): the
  median of {found["rounds"]} images, in brackets the first and the third quartile.
- **verdict**: of the audit; an `additive` network multiplies nowhere behind the layer that meets the pixels.

Measured by `{found["command"]}` on {found["date"]}, commit {commit}.
"""


def _cells(row: dict[str, Any]) -> list[str]:
    low, high = row["latency_ms_low"], row["latency_ms_high"]
    return [
        f"`{row['name']}`", f"{row['parameters']:,}", f"{100 * row['accuracy']:.2f}", row["seeds"] or "-",
        "-" if row["twin"] is None else f"{100 * row['twin']:.2f}",
        "-" if row["density"] is None else f"{row['density']:.3f}", quantity(row["additions"]),
        quantity(row["joules"], "J"), quantity(row["dense_joules"], "J"),
        f"{row['latency_ms']:.3g} ({low:.3g} to {high:.3g})", row["verdict"],
    ]  # fmt: skip
