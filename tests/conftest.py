"""What every test shares: determinism, the golden folder, and annotations that are executed."""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path

import jaxtyping
import pytest
from jaxtyping import install_import_hook

hook = install_import_hook(["spikedrive.ops", "spikedrive.neurons"], "typecheck.checker")

import torch  # noqa: E402

from spikedrive.neurons._registry import NEURONS  # noqa: E402

# two workers share two cores; more threads than cores only wait for each other
torch.set_num_threads(1)

STRICT = os.environ.get("SPIKEDRIVE_STRICT") == "1"
GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def relu(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the neuron of ReLU twins, registered for one test: the lists of neurons are those of the library."""
    monkeypatch.setattr(NEURONS, "_items", dict(NEURONS._items))
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "relu_twin.py"
    runpy.run_path(str(path), run_name="relu_twin")
    return "ReLU"


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Annotations not executed: to meet the library's own error, or to compile what a user compiles."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Path]:
    """The folder of one golden data set; skips, or fails under SPIKEDRIVE_STRICT=1, where it is absent."""

    def folder(name: str) -> Path:
        path = GOLDEN / name
        if not path.is_dir():
            reason = f"golden data {name!r} is not at {path}"
            pytest.fail(reason) if STRICT else pytest.skip(reason)
        return path

    return folder


@pytest.fixture(scope="session")
def require() -> Callable[[bool, str], None]:
    """`require(found, what)`: skip where something optional is absent, fail under SPIKEDRIVE_STRICT=1."""

    def check(found: bool, what: str) -> None:
        if not found:
            pytest.fail(f"{what} is missing") if STRICT else pytest.skip(f"{what} is missing")

    return check
