"""A full disk: one clear error, and the last good checkpoint loads."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from spikedrive.errors import StorageError
from spikedrive.models import load_model
from spikedrive.training import Recipe, checkpoint, train
from spikedrive.training.run_folder import Marks, RunFolder


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Inside, writing past `size` bytes of a file fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("size", "failing"), [(10_000, "last.safetensors"), (50_000, "state.pt")])
def test_a_full_disk_keeps_the_last_good_checkpoint(
    size: int, failing: str, tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    state = run / "checkpoints" / "state.pt"
    limit = files_of_at_most(size)

    def fill(line: dict[str, Any]) -> None:
        if line["kind"] == "step" and line["step"] == 6:
            limit.__enter__()

    try:
        with pytest.raises(
            StorageError, match=f"Could not write .*{failing} .*; what was there before is untouched"
        ):
            train(tiny(), run, progress=False, callback=fill)
    finally:
        limit.__exit__(None, None, None)
    assert load_model(run / "checkpoints" / "best.safetensors").metadata["epoch"] in (1, 2)
    assert checkpoint.load_state(state)["place"]["epoch"] == 1
    assert not list(run.rglob("*.tmp"))
    # with room again the same command finishes
    assert train(tiny(), run, progress=False).metrics["epochs"] == 2


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(Recipe(model="m", data="d"), {}, Marks())
    folder.record({"kind": "step", "step": 1, "loss": 1.0})
    with (
        files_of_at_most(0),
        pytest.raises(
            StorageError, match=r"Could not write the logs in .*; the checkpoints there are untouched"
        ),
    ):
        folder.flush()
    folder.close()
