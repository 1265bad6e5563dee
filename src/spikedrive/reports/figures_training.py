"""Learning curves: figures of `log.jsonl`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from spikedrive.errors import DataError
from spikedrive.reports.artifacts import need, read_lines, remedy
from spikedrive.reports.style import SPIKING, TRAINING, VALIDATION, Figure, canvas, fade, percent

LOG = "log.jsonl"


def learning_curves(log: Path) -> list[Figure]:
    """Loss, accuracy, firing rate and learning rate against the epoch; no accuracy for a task without right answers.

    *Units*: loss in nats per image (without accuracy: the squared error of normalised pixels), accuracy in per cent,
    firing rate in spikes per neuron per step.
    *Raises*: DataError when the log is missing, damaged or has no epoch.
    """
    lines = read_lines(log)
    steps = [line for line in lines if line.get("kind") == "step"]
    epochs = [line for line in lines if line.get("kind") == "epoch"]
    if not epochs:
        raise DataError(f"{log} has no finished epoch; at least one is accepted. {remedy(log)}")
    for line in epochs:
        need(log, line, "epoch", "step", "loss", "val_loss", "firing_rate", "lr")
        if "val_accuracy" in epochs[0]:
            need(log, line, "accuracy", "val_accuracy")
    clock = _Clock(epochs)
    judged = "val_accuracy" in epochs[0]
    return [
        _loss(steps, epochs, clock, unit="nats per image" if judged else "squared error of a pixel"),
        *([_accuracy(epochs, clock)] if judged else []),
        _firing_rate(steps, epochs, clock),
        _learning_rate(steps, epochs, clock),
    ]


class _Clock:
    """Optimizer steps as epochs, the end of the first being 1."""

    def __init__(self, epochs: list[dict[str, Any]]) -> None:
        self.per_epoch = max(epochs[-1]["step"], 1) / len({line["epoch"] for line in epochs})

    def __call__(self, lines: list[dict[str, Any]]) -> list[float]:
        return [line["step"] / self.per_epoch for line in lines]


def _loss(steps: list[dict[str, Any]], epochs: list[dict[str, Any]], clock: _Clock, *, unit: str) -> Figure:
    plot = canvas(height=280, x="epoch", y=f"loss ({unit})", legend=True)
    _steps_line(plot, steps, clock, "loss", "training, each step")
    _epochs_line(plot, epochs, clock, "loss", "training, epoch mean", TRAINING)
    _epochs_line(plot, epochs, clock, "val_loss", "validation", VALIDATION)
    best = min(epochs, key=lambda line: line["val_loss"])
    says = f"Validation loss ends at {epochs[-1]['val_loss']:.3f}; its lowest, {best['val_loss']:.3f}, " + (
        "is the last." if best is epochs[-1] else f"was after epoch {clock([best])[0]:.0f}."
    )
    return Figure("loss", "Loss", says, LOG, plot, notes=("Training loss is that of augmented images.",))


def _accuracy(epochs: list[dict[str, Any]], clock: _Clock) -> Figure:
    plot = canvas(height=280, x="epoch", y="accuracy (%)", legend=True)
    _epochs_line(plot, epochs, clock, "accuracy", "training", TRAINING, factor=100)
    _epochs_line(plot, epochs, clock, "val_accuracy", "validation", VALIDATION, factor=100)
    # the rule by which the checkpoint was chosen
    best = max(epochs, key=lambda line: (line["val_accuracy"], -line["val_loss"]))
    x, y = clock([best])[0], 100 * best["val_accuracy"]
    plot.add_annotation(
        x=x, y=y, text=f"{y:.1f} %", showarrow=False, yanchor="bottom", xanchor="right", yshift=5,
        font={"color": VALIDATION, "size": 13},
    )  # fmt: skip
    plot.add_scatter(
        x=[x], y=[y], mode="markers", marker={"size": 10, "color": VALIDATION, "symbol": "star"}, showlegend=False,
        hovertemplate="best: %{y:.2f} %<extra></extra>",
    )  # fmt: skip
    says = (
        f"The best validation accuracy, {percent(best['val_accuracy'])}, came after epoch {x:.0f}; "
        "that checkpoint is the one that was kept."
    )
    notes = ("Training accuracy is that of augmented images, while the weights still moved.",)
    return Figure("accuracy-curve", "Accuracy", says, LOG, plot, notes=notes)


def _firing_rate(steps: list[dict[str, Any]], epochs: list[dict[str, Any]], clock: _Clock) -> Figure:
    plot = canvas(height=260, x="epoch", y="spikes per neuron per step")
    _steps_line(plot, steps, clock, "firing_rate", "each step")
    _epochs_line(plot, epochs, clock, "firing_rate", "epoch", SPIKING)
    plot.update_yaxes(rangemode="tozero")
    last = epochs[-1]["firing_rate"]
    says = (
        "It was not measured in so short a run."
        if last is None
        else f"The network ends at {last:.3f} spikes per neuron per step, mean over all neurons."
    )
    return Figure("firing-rate", "Firing rate", says, LOG, plot)


def _learning_rate(steps: list[dict[str, Any]], epochs: list[dict[str, Any]], clock: _Clock) -> Figure:
    plot = canvas(height=260, x="epoch", y="learning rate")
    lines = [line for line in steps or epochs if line.get("lr") is not None]
    plot.add_scatter(
        x=clock(lines), y=[line["lr"] for line in lines], mode="lines", line={"color": SPIKING, "width": 2},
        hovertemplate="epoch %{x:.2f}: %{y:.2e}<extra></extra>",
    )  # fmt: skip
    plot.update_yaxes(rangemode="tozero", exponentformat="power")
    says = f"It peaks at {max(line['lr'] for line in lines):.3g} and ends at {lines[-1]['lr']:.2g}."
    return Figure("learning-rate", "Learning rate", says, LOG, plot)


def _steps_line(plot: go.Figure, steps: list[dict[str, Any]], clock: _Clock, key: str, name: str) -> None:
    lines = [line for line in steps if line.get(key) is not None]
    # a long run would put every step into the page, and no screen has the pixels
    lines = lines[:: max(1, len(lines) // 1500)]
    if lines:
        plot.add_scatter(
            x=clock(lines), y=[line[key] for line in lines], mode="lines", name=name,
            line={"color": fade(TRAINING, 0.45), "width": 1}, hoverinfo="skip",
        )  # fmt: skip


def _epochs_line(plot: go.Figure, epochs: list[dict[str, Any]], clock: _Clock, key: str, name: str, colour: str,
                 factor: float = 1.0) -> None:  # fmt: skip
    lines = [line for line in epochs if line.get(key) is not None]
    plot.add_scatter(
        x=clock(lines), y=[factor * line[key] for line in lines], mode="lines+markers", name=name,
        line={"color": colour, "width": 2}, marker={"size": 6, "color": colour},
        hovertemplate=f"{name}, epoch %{{x:.0f}}: %{{y:.4g}}<extra></extra>",
    )  # fmt: skip
