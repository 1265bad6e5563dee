"""A certificate is that of one model, under one version of the rules, and as it was written."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from auditing.nets import SPIKES, Fire, Net
from spikedrive.auditing import Audit, audit, check_certificate, read_table
from spikedrive.auditing.rules import RULES
from spikedrive.auditing.trace import Graph, trace
from spikedrive.errors import FormatError
from spikedrive.neurons import IF

X = (torch.rand(6, 2, 5, 5, generator=torch.Generator().manual_seed(0)) < 0.4).float()
OWN = """
name = "my_chip"
process = "22 nm"
precision = "int8"
source = "measured"
scope = "one core"
operations = {mac = 0.5, addition = 0.25}
"""


def hybrid_net(seed: int = 0) -> nn.Module:
    """A convolution, a neuron and two linear layers in a row."""
    torch.manual_seed(seed)
    return Net(
        lambda x, c, n, a, b: b(a(n(c(x)).flatten(1))),
        c=nn.Conv2d(2, 3, 3), n=Fire(IF()), a=nn.Linear(27, 4), b=nn.Linear(4, 2),
    )  # fmt: skip


NET = hybrid_net()


@functools.cache
def graph_of(model: nn.Module) -> Graph:
    """The traced network; tracing takes longer than everything else here."""
    return trace(model, X[:1], decompose=lambda op: op not in RULES)


@pytest.fixture(autouse=True)
def _traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikedrive.auditing.verdict.trace", lambda model, *_, **__: graph_of(model))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with the density of six samples."""
    path = tmp_path_factory.mktemp("certificate") / "audit.json"
    return audit(NET, X[:1], data=X, inputs=SPIKES).save(path)


def edited(path: Path, to: Path, change: Callable[[dict[str, Any]], None]) -> Audit:
    """The certificate after somebody changed the file by hand."""
    read = json.loads(path.read_text())
    change(read)
    to.write_text(json.dumps(read))
    return Audit.load(to)


def test_a_certificate_holds_with_its_data(measured: Path) -> None:
    check = Audit.load(measured).check(NET, X[:1], data=X)
    assert (check.differences, check.unchecked) == ((), ())
    assert check.text() == "the certificate holds: Net is hybrid, given inputs 0..1 x 1"


def test_without_the_data_it_says_what_is_open(measured: Path) -> None:
    check = Audit.load(measured).check(NET, X[:1])
    assert check.holds
    assert check.unchecked[0].startswith("additions, densities, bytes and energies measured on 6 samples")


def test_the_worst_case_needs_no_data() -> None:
    check = audit(NET, X[:1], inputs=SPIKES).check(NET, X[:1])
    assert (check.holds, check.unchecked) == (True, ())


def test_other_data_are_named_and_not_measured_on(measured: Path) -> None:
    check = Audit.load(measured).check(NET, X[:1], data=X[:5])
    assert len(check.differences) == 1
    assert check.differences[0].startswith("data: measured on 6 samples of hash")
    assert check.unchecked


@pytest.mark.parametrize(
    "other", [hybrid_net(1), Net(lambda x, c: c(x), c=nn.Conv2d(2, 3, 3))], ids=["weights", "net"]
)
def test_another_model_is_refused(measured: Path, other: nn.Module) -> None:
    check = check_certificate(Audit.load(measured), other, X[:1])
    assert check.differences[0].startswith("graph: ")
    assert "other weights, another architecture" in check.differences[0]
    assert check.text().startswith("the certificate is refused, this differs (")


def _set(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(read: Any) -> None:
        for key in path[:-1]:
            read = read[key]
        read[path[-1]] = to

    return change


def _both(*changes: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    return lambda read: [change(read) for change in changes] and None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_set("verdict", to="additive"), "verdict: additive, and the model is hybrid"),
        (_set("rules_version", to=1), "rules: version 1, and this audit has"),
        (_set("graph_hash", to="0" * 64), "graph: 000000000000, and the model's is"),
        (_set("model", to="Other"), "model: Other, and this is Net"),
        (_set("analog", to=["stem"]), "analog layers: stem, and the model's are none"),
        (_set("exceptions", to=[]), "exceptions: parts.b aten.linear.default with 8 multiplications and 0 functions is "
         "missing from the certificate"),
        (_set("exceptions", 0, "count", to=7), "exceptions: parts.b aten.linear.default with 7 multiplications and 0 "
         "functions is not in the model"),
        (_set("table", "name", to="7nm"), "table: '7nm' is not among the registered 45nm, "),
        (_set("table", "mac", to=1e-12), "table: '45nm' differs in mac"),
        (_set("totals", "additions", to=1.0), "totals: additions 1.0, and the layers add up to"),
        (_set("totals", "joules", to=1e-12), "energies: 45nm has"),
        (_set("layers", 0, "dense_macs", to=1), "layers: parts.c aten.conv2d.default has dense_macs 1 in place of 486"),
        (_set("layers", 0, "additions", to=1e9), "layers: parts.c aten.conv2d.default has additions 1e+09 in place of"),
        (_set("layers", 0, "density", to=1.5), "layers: parts.c aten.conv2d.default has density 1.5"),
        (_set("layers", to=[]), "layers: 0 rows, and the model has"),
        (_set("energies", 1, "dense_joules", to=1.0), "energies: 45nm_int16 differs in dense_joules"),
        (_set("energies", 1, "joules", to=1.0), "energies: 45nm_int16 has 1 J, and the worst case is"),
        (_set("energies", to=[]), "energies: by , and this audit has 45nm, "),
        (_set("steps", to=4), "steps: 4, and the model has 1"),
        (_set("inputs", to=[None]), "analog layers: none, and the model's are parts.c"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_an_edited_file_is_refused(
    measured: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], named: str
) -> None:
    check = edited(measured, tmp_path / "audit.json", change).check(NET, X[:1])
    assert not check.holds
    assert any(said.startswith(named) for said in check.differences), check.differences


def test_what_was_measured_is_measured_again(measured: Path, tmp_path: Path) -> None:
    # an edit that adds up, and stays below the worst case
    def fewer(read: dict[str, Any]) -> None:
        row = read["layers"][0]
        less = row["additions"] / 2
        row["additions"] -= less
        read["totals"]["additions"] -= less

    forged = edited(measured, tmp_path / "audit.json", fewer)
    assert forged.check(NET, X[:1]).holds
    found = forged.check(NET, X[:1], data=X).differences
    assert [said.partition(" has additions")[0] for said in found] == ["layers: parts.c aten.conv2d.default"]


def test_places_in_the_source_may_move(measured: Path, tmp_path: Path) -> None:
    moved = _both(_set("exceptions", 0, "line", to=1), _set("layers", 0, "file", to="elsewhere.py"))
    assert edited(measured, tmp_path / "audit.json", moved).check(NET, X[:1]).holds


def test_a_table_of_one_s_own_must_be_given(tmp_path: Path) -> None:
    (tmp_path / "chip.toml").write_text(OWN)
    result = audit(NET, X[:1], inputs=SPIKES, table=tmp_path / "chip.toml")
    (alone,) = result.check(NET, X[:1]).differences
    assert alone.startswith("table: 'my_chip' is not among the registered") and "give its file" in alone
    assert result.check(NET, X[:1], table=tmp_path / "chip.toml").holds
    (tmp_path / "chip.toml").write_text(OWN.replace("mac = 0.5", "mac = 0.75"))
    other = result.check(NET, X[:1], table=read_table(tmp_path / "chip.toml")).differences
    assert other[0] == "table: 'my_chip' differs in mac, function"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _set("version", to=1),
            r"of version 1; Audit.load takes 'spikedrive.audit' of version 2. Run the audit",
        ),
        (_set("totals", "additions", to="many"), "a count is no number"),
        (_set("layers", 0, "joules", to=None), "a count is no number"),
        (_set("table", to={}), "the table has no name"),
    ],
    ids=["version", "total", "count", "table"],
)
def test_a_file_that_is_no_certificate(
    measured: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    with pytest.raises(FormatError, match=message):
        edited(measured, tmp_path / "audit.json", change)


def test_inputs_that_are_no_domains_are_refused(measured: Path, tmp_path: Path) -> None:
    forged = edited(measured, tmp_path / "audit.json", _set("inputs", to=[{"high": 1}]))
    with pytest.raises(FormatError, match=r"it takes low, high and scale of each, or null\. Run"):
        forged.check(NET, X[:1])
