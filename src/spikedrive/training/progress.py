"""Between a run and the person at the terminal: the figures out, Ctrl-C in."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

REFRESH_SECONDS = 0.5
"""Between two drawings of the bar; drawing costs milliseconds that the training would use."""


class ProgressBar:
    """A bar with loss, accuracy, firing rate, samples/s and time left; off a terminal, one plain line an epoch.

    It writes to stderr, so that stdout stays free for `--json`.
    """

    def __init__(
        self, *, steps: int, done: int, epochs: int, shown: bool, console: Console | None = None
    ) -> None:
        self._console = console or Console(file=sys.stderr)
        self._shown = shown
        self._epochs, self._steps, self._done = epochs, steps, done
        self._started, self._done_at_start, self._drawn = time.monotonic(), done, 0.0
        self._figures: dict[str, Any] = {}
        self._bar: Progress | None = None
        if shown and self._console.is_terminal:
            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(bar_width=None),
                TextColumn("{task.percentage:>3.0f} %"),
                TextColumn("{task.fields[figures]}"),
                console=self._console,
                auto_refresh=False,
            )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("", total=self._steps, completed=self._done, epoch="", figures="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._draw()
            self._bar.stop()

    def advance(self) -> None:
        """One optimizer step is done."""
        self._done += 1
        if self._bar is not None and time.monotonic() - self._drawn > REFRESH_SECONDS:
            self._draw()

    def show(self, record: dict[str, Any]) -> None:
        """Take in a line of the log; an epoch's line stays on the screen."""
        self._figures |= {key: value for key, value in record.items() if value is not None}
        if record["kind"] == "epoch":
            self.note(self._line(self._figures))

    def note(self, text: str) -> None:
        """Print one line above the bar."""
        if self._shown:
            (self._bar.console if self._bar else self._console).print(
                text, highlight=False, markup=False, soft_wrap=True
            )

    def _draw(self) -> None:
        assert self._bar is not None
        self._drawn = time.monotonic()
        epoch = f"{self._figures.get('epoch', 0)}/{self._epochs}"
        self._bar.update(self._task, completed=self._done, epoch=epoch, figures=self._summary(self._figures))
        self._bar.refresh()

    def _line(self, figures: dict[str, Any]) -> str:
        return f"epoch {figures['epoch']}/{self._epochs}  {self._summary(figures)}"

    def _summary(self, figures: dict[str, Any]) -> str:
        parts = []
        if "loss" in figures:
            parts.append(f"loss {figures['loss']:.3f}")
        if "accuracy" in figures:
            parts.append(f"accuracy {figures['accuracy']:.1%}")
        if "val_accuracy" in figures:
            parts.append(f"validation {figures['val_accuracy']:.1%}")
        elif "val_bits_per_byte" in figures:
            parts.append(f"validation {figures['val_bits_per_byte']:.3f} bits a byte")
        elif "val_loss" in figures:
            parts.append(f"validation {figures['val_loss']:.3f}")
        if "firing_rate" in figures:
            parts.append(f"firing rate {figures['firing_rate']:.3f}")
        if "samples_per_s" in figures:
            parts.append(f"{figures['samples_per_s']:.0f} samples/s")
        left = self._seconds_left()
        if left is not None:
            parts.append(f"{int(left) // 60}:{int(left) % 60:02d} left")
        return "  ".join(parts)

    def _seconds_left(self) -> float | None:
        made = self._done - self._done_at_start
        if made == 0:
            return None
        return (time.monotonic() - self._started) / made * (self._steps - self._done)


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Inside, Ctrl-C and SIGTERM are asked for with the yielded function; a second one acts as usual."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)

    try:
        for number in before:
            signal.signal(number, ask)
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
