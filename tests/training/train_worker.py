"""Trains a recipe file in a process of its own, which a test may kill or start several times over.

Usage: train_worker.py RECIPE.json FOLDER [MODE]...; a mode is kill_at=STEP, kill_while_saving=COUNT or the
name of a strategy, which then trains into FOLDER/NAME.
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
        train(recipe.replace(strategy=strategy, precision=precision), folder / strategy, progress=False)
    if not strategies:
        train(
            recipe, folder, progress=False, callback=lambda line: kill_at(line, int(modes.get("kill_at", -1)))
        )


def kill_at(line: dict[str, Any], step: int) -> None:
    if line["kind"] == "step" and line["step"] == step:
        os.kill(os.getpid(), signal.SIGKILL)


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
