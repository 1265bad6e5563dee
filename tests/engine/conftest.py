"""A stand-in for the audit, which has tests of its own and takes an export."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import spikedrive.engine.lower as lower


@pytest.fixture
def unaudited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model counts as additive, so that what the lowering itself refuses is seen."""
    monkeypatch.setattr(lower, "audit", lambda *_: SimpleNamespace(verdict="additive", exceptions=()))
