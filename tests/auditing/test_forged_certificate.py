"""What a certificate says of its own making is checked too: on what it stands, and on how many samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from spikedrive.auditing import Audit, audit
from spikedrive.errors import FormatError

X = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
NET = nn.Linear(4, 2)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return audit(NET, X[:1], data=X).save(tmp_path_factory.mktemp("forged") / "audit.json")


def forged(measured: Path, **changed: Any) -> Audit:
    path = measured.with_name("forged.json")
    path.write_text(json.dumps({**json.loads(measured.read_text()), **changed}))
    return Audit.load(path)


def test_the_number_of_samples_is_counted_again(measured: Path) -> None:
    assert forged(measured).check(NET, X[:1], data=X).holds
    (said,) = forged(measured, samples=1000).check(NET, X[:1], data=X).differences
    assert said == "samples: 1000, and those given are 3"


@pytest.mark.parametrize(
    "changed",
    [{"basis": "guessed"}, {"batch_axis": "first"}, {"samples": "many"}],
    ids=lambda c: next(iter(c)),
)
def test_a_certificate_of_no_known_making_is_refused(measured: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match=r"basis 'measured' or 'worst case'.*Run the audit again"):
        forged(measured, **changed)


def test_a_total_that_no_audit_has_is_refused(measured: Path) -> None:
    totals = {**json.loads(measured.read_text())["totals"], "savings": 9.0}
    (said,) = forged(measured, totals=totals).check(NET, X[:1], data=X).differences
    assert said == "totals: savings 9.0 is no count of an audit"
