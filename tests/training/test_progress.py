"""What the terminal shows, and what a pipe gets."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from spikedrive.training.progress import ProgressBar

STEP: dict[str, Any] = {
    "kind": "step",
    "epoch": 1,
    "loss": 1.25,
    "accuracy": 0.5,
    "firing_rate": 0.2,
    "samples_per_s": 80.0,
}
EPOCH: dict[str, Any] = {**STEP, "kind": "epoch", "val_loss": 1.0, "val_accuracy": 0.625}
FIGURES = ("loss 1.250", "accuracy 50.0%", "firing rate 0.200", "80 samples/s", "left")


def shown(*, terminal: bool, shown: bool = True) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=160)
    with ProgressBar(steps=4, done=0, epochs=2, shown=shown, console=console) as bar:
        bar.show(STEP)
        bar.advance()
        bar.show(EPOCH)
        bar.note("[a] note")
    return out.getvalue()


def test_off_a_terminal_each_epoch_is_one_plain_line() -> None:
    text = shown(terminal=False)
    line, note = text.splitlines()
    assert line.startswith("epoch 1/2  ") and "\x1b" not in text and note == "[a] note"
    assert all(figure in line for figure in (*FIGURES, "validation 62.5%"))


def test_on_a_terminal_there_is_a_bar_with_the_same_figures() -> None:
    text = shown(terminal=True)
    assert "\x1b[" in text and "━" in text and "25 %" in text
    assert all(figure in text for figure in FIGURES)


def test_silence_is_silent() -> None:
    assert shown(terminal=True, shown=False) == "" == shown(terminal=False, shown=False)
