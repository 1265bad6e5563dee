"""Which classes are taken for which: a figure of `predictions.npz`."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from spikedrive.errors import DataError
from spikedrive.reports.artifacts import need, read_arrays, remedy
from spikedrive.reports.style import NEUTRAL, SPIKING, VALIDATION, Figure, by_layer, canvas, fade, percent

PREDICTIONS = "predictions.npz"
MOST_CLASSES = 30


def confusion_matrix(predictions: Path) -> Figure:
    """The integer program's answers against the labels; with many classes, those recognised worst.

    *Units*: counts of test images.
    *Raises*: DataError when the file is missing or damaged, or holds a class without a name.
    """
    arrays, names = _read(predictions)
    matrix = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(matrix, (arrays["labels"], arrays["predictions"]), 1)
    shown = _worst(arrays["labels"], arrays["predictions"], len(names))
    return _figure(matrix[np.ix_(shown, shown)], matrix, [escape(names[i]) for i in shown], names)


def accuracy_by_class(predictions: Path) -> Figure:
    """The share of each class's test images that the program, and the fp32 model, recognise.

    *Units*: per cent.
    *Raises*: DataError when the file is missing or damaged, or holds a class without a name.
    """
    arrays, names = _read(predictions)
    labels, shown = arrays["labels"], _worst(arrays["labels"], arrays["predictions"], len(names))
    plot = by_layer([escape(names[i]) for i in shown], x="recognised (% of the class)", row=30, legend=True)
    plot.update_yaxes(ticktext=[escape(names[i]) for i in shown])
    shares = {}
    for key, name, colour, symbol in (
        ("predictions_fp32", "fp32 model", NEUTRAL, "circle-open"),
        ("predictions", "integer program", SPIKING, "circle"),
    ):
        share = shares[key] = _share_right(labels, arrays[key], len(names))
        plot.add_scatter(
            x=100 * share[shown], y=list(range(len(shown))), mode="markers", name=name,
            marker={"color": colour, "symbol": symbol, "size": 10, "line": {"width": 2 if "open" in symbol else 0}},
            hovertemplate="%{x:.1f} %<extra>" + name + "</extra>",
        )  # fmt: skip
    worst, best = (names[int(pick(shares["predictions"]))] for pick in (np.nanargmin, np.nanargmax))
    says = (
        f"“{worst}” is recognised worst ({percent(float(np.nanmin(shares['predictions'])), 1)}), “{best}” best "
        f"({percent(float(np.nanmax(shares['predictions'])), 1)})."
    )
    return Figure("by-class", "Accuracy by class", says, PREDICTIONS, plot)


def _read(predictions: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    arrays = read_arrays(predictions)
    need(predictions, arrays, "labels", "predictions", "predictions_fp32", "class_names")
    names = [str(name) for name in arrays["class_names"]]
    found = {key: arrays[key].astype(int) for key in ("labels", "predictions", "predictions_fp32")}
    sizes = {len(values) for values in found.values()}
    if sizes == {0} or len(sizes) > 1 or max(int(values.max()) for values in found.values()) >= len(names):
        raise DataError(
            f"{predictions} has answers that do not fit its {len(found['labels'])} labels and {len(names)} class "
            f"names; it takes one answer a label, all below the number of names. {remedy(predictions)}"
        )
    return found, names


def _share_right(labels: np.ndarray, answers: np.ndarray, count: int) -> np.ndarray:
    images = np.bincount(labels, minlength=count)
    right = np.bincount(labels[labels == answers], minlength=count)
    # a class without a test image has no share
    return np.where(images > 0, right / np.maximum(images, 1), np.nan)


def _worst(labels: np.ndarray, answers: np.ndarray, count: int) -> np.ndarray:
    if count <= MOST_CLASSES:
        return np.arange(count)
    return np.sort(np.argsort(_share_right(labels, answers, count), kind="stable")[:MOST_CLASSES])


def _figure(part: np.ndarray, matrix: np.ndarray, names: list[str], class_names: Sequence[str]) -> Figure:
    size = len(names)
    plot = canvas(height=max(330, 34 * size + 110), x="answer", y="label")
    right = np.where(np.eye(size, dtype=bool), part, np.nan)
    wrong = np.where(np.eye(size, dtype=bool) | (part == 0), np.nan, part)
    hover = "%{y} taken for %{x}: %{z:.0f} images<extra></extra>"
    # the two scales differ, or the many right answers would hide the few wrong ones
    for cells, colour, top in (
        (right, SPIKING, matrix.sum(1).max()),
        (wrong, VALIDATION, _most_wrong(matrix)),
    ):
        plot.add_heatmap(
            z=cells, x=names, y=names, zmin=0, zmax=max(int(top), 1), showscale=False, xgap=1, ygap=1,
            colorscale=[[0, fade(colour, 0.05)], [1, fade(colour, 0.7)]], hovertemplate=hover, hoverongaps=False,
        )  # fmt: skip
    rows, columns = np.nonzero(part)
    plot.add_scatter(
        x=[names[c] for c in columns], y=[names[r] for r in rows], text=part[rows, columns].tolist(), mode="text",
        textfont={"size": 11}, hoverinfo="skip",
    )  # fmt: skip
    plot.update_yaxes(autorange="reversed", ticks="", showgrid=False, tickfont={"size": 11})
    plot.update_xaxes(side="bottom", ticks="", showgrid=False, tickangle=-45, tickfont={"size": 11})
    notes = ("Blue: right answers. Orange-red: mistakes, on a scale of their own.",)
    if size < len(class_names):
        notes += (f"Of {len(class_names)} classes, the {size} recognised worst are shown.",)
    return Figure(
        "confusion", "What is taken for what", _says(matrix, class_names), PREDICTIONS, plot, notes=notes
    )


def _most_wrong(matrix: np.ndarray) -> int:
    return int((matrix - np.diag(np.diag(matrix))).max())


def _says(matrix: np.ndarray, names: Sequence[str]) -> str:
    accuracy = np.trace(matrix) / matrix.sum()
    said = f"The program answers {percent(accuracy)} of {matrix.sum():,} test images rightly. "
    wrong = matrix - np.diag(np.diag(matrix))
    if wrong.max() == 0:
        return said + "No class is taken for another."
    label, answer = divmod(int(wrong.argmax()), len(names))
    return said + (
        f"The most frequent mistake: “{names[label]}” taken for “{names[answer]}”, {wrong.max()} times in "
        f"{matrix[label].sum()}."
    )
