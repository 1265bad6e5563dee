"""The libraries of others, from the environment that the benchmarks measure them in."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PEERS = Path(__file__).resolve().parents[2] / "benchmarks" / ".peers"


@pytest.fixture(scope="session")
def library(require: Callable[[bool, str], None]) -> Callable[[str], ModuleType]:
    """`library("norse.torch")`: an imported module of a peer; skips, or fails in CI, without `make peers`."""

    def find(name: str) -> ModuleType:
        sites = list((PEERS / "lib").glob("python*/site-packages"))
        require(bool(sites), f"{PEERS} (made by `make peers`)")
        if str(sites[0]) not in sys.path:
            # last, so that what this project pins itself comes first
            sys.path.append(str(sites[0]))
        with warnings.catch_warnings():
            # what they warn of while they are imported is theirs to mend
            warnings.simplefilter("ignore")
            return importlib.import_module(name)

    return find
