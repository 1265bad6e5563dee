"""Trains a recipe file in a process of its own, which a test may kill or start several times over.

Usage: train_worker.py RECIPE.json FOLDER [MODE]...; a mode is kill_while_saving=COUNT or the name of a
strategy, which then trains into FOLDER/NAME.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from spikedrive.training import Recipe, checkpoint, train


def main() -> None:
    recipe = Recipe(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    folder = Path(sys.argv[2])
    modes = dict(mode.partition("=")[::2] for mode in sys.argv[3:])
    if "kill_while_saving" in modes:
        kill_while_saving(int(modes["kill_while_saving"]))
    strategies = [name for name in modes if name in ("ddp", "fsdp")]
    for strategy in strategies:
        precision = "32-true" if strategy == "fsdp" else recipe.precision
        interrupted(recipe.replace(strategy=strategy, precision=precision), folder / strategy)
    if not strategies:
        train(recipe, folder, progress=False)


def interrupted(recipe: Recipe, folder: Path) -> None:
    """One process gets a Ctrl-C, all stop together, and all go on."""

    def ask(line: dict[str, Any]) -> None:
        if line["kind"] == "step" and line["step"] == 5:
            signal.raise_signal(signal.SIGINT)

    try:
        train(recipe, folder, progress=False, callback=ask)
        raise AssertionError("the run did not stop")
    except KeyboardInterrupt:
        assert checkpoint.load_state(folder / "checkpoints" / "state.pt")["place"]["step"] == 6
    train(recipe, folder, progress=False)


def kill_while_saving(count: int) -> None:
    """Die in the middle of writing the checkpoint number `count`, half of it being on disk."""
    saved = 0
    write = Path.write_bytes

    def dying(path: Path, data: Any) -> int:
        nonlocal saved
        saved += "state.pt" in path.name
        if saved == count:
            write(path, bytes(data)[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return write(path, data)

    checkpoint.Path.write_bytes = dying  # pyright: ignore[reportAttributeAccessIssue]


if __name__ == "__main__":
    main()
