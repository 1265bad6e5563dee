"""`audit`: densities on data, certificates, tables, messages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from auditing.corpus.traced import example_of
from auditing.nets import CASES, SPIKES, Fire, Net
from spikedrive.auditing import Audit, audit, register_adapter
from spikedrive.auditing.adapters import ADAPTERS
from spikedrive.auditing.energy import TABLES, Work
from spikedrive.blocks import RepConv, SepConv
from spikedrive.encoders import Direct
from spikedrive.errors import (
    AuditError,
    FormatError,
    ShapeError,
    StorageError,
    UnknownNameError,
    ValueRangeError,
)
from spikedrive.neurons import ILIF, LIF


def conv_net() -> nn.Module:
    return Net(lambda x, a, c: c(a(x)), a=Fire(ILIF()), c=nn.Conv2d(2, 3, 3, padding=1, stride=2))


def test_measured_additions_are_those_that_happen() -> None:
    x = torch.randint(-2, 7, (5, 2, 5, 6)).float()
    result = audit(conv_net(), x[:1], data=x)
    spikes = x.clamp(0, 4)
    happen = nn.functional.conv2d(spikes, torch.ones(3, 2, 3, 3), padding=1, stride=2).sum() / 5
    row = next(row for row in result.layers if row.op == "aten.conv2d.default")
    assert row.additions == pytest.approx(float(happen))
    assert row.density == pytest.approx(float((spikes != 0).float().mean()))
    assert row.firing_rate == pytest.approx(float(spikes.mean()))
    assert (result.basis, result.samples) == ("measured", 5)


@pytest.mark.parametrize("unit", [1.0, 0.25, 0.3])
def test_a_row_says_what_its_integers_stand_for(unit: float) -> None:
    x = torch.arange(8.0).view(1, 8)
    model = Net(lambda x, a, c: c(a(x) * unit), a=Fire(ILIF()), c=nn.Linear(8, 3))
    found = audit(model, x, data=x)
    row = next(row for row in found.layers if row.op == "aten.linear.default")
    assert row.unit == pytest.approx(unit)
    read = x.clamp(0, 4).sum() * unit
    assert row.additions == pytest.approx(float(read) / row.unit * 3)
    real = audit(nn.Linear(8, 3), x, data=x)
    assert [row.unit for row in real.layers] == [None]


def test_of_two_integer_factors_the_rarer_is_charged() -> None:
    x = torch.zeros(1, 2, 3, 4)
    x[0, 0, 0, :2], x[0, 1] = 4.0, 1.0
    result = audit(Net(lambda x: x[:, 0] @ x[:, 1].transpose(1, 2)), x, data=x, inputs=(ILIF().domain,))
    # 8 units of the first factor meet 3 rows each; the second holds 12 units
    assert result.totals["additions"] == 8 * 3


def test_chunks_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    model, x = conv_net(), torch.randn(7, 2, 5, 6) * 3
    whole = audit(model, x, data=x)
    monkeypatch.setattr("spikedrive.auditing.measure.LARGEST_TENSOR", 130)
    assert audit(model, x, data=x) == whole
    monkeypatch.setattr("spikedrive.auditing.measure.LARGEST_PART", 3)
    assert audit(model, x, data=x) == whole


def test_data_of_a_sequence_is_counted_along_its_batch_axis() -> None:
    x = torch.ones(3, 4, 5)
    result = audit(
        Net(lambda x, n, fc: fc(n(x)), n=LIF(threshold=0.4), fc=nn.Linear(5, 2, bias=False)),
        x[:, :1],
        data=x,
        batch_axis=1,
    )
    assert result.samples == 4
    assert result.totals["additions"] == 3 * 5 * 2


def test_a_part_of_the_samples_is_viewed_like_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    # a part along axis 1 is not in one piece
    x = torch.ones(3, 4, 5)
    net = Net(
        lambda x, n, fc: fc(n(x.view(-1, 5)[None])), n=LIF(threshold=0.4), fc=nn.Linear(5, 2, bias=False)
    )
    whole = audit(net, x[:, :2].contiguous(), data=x, batch_axis=1)
    monkeypatch.setattr("spikedrive.auditing.measure.LARGEST_TENSOR", 30)
    assert audit(net, x[:, :2].contiguous(), data=x, batch_axis=1) == whole


def test_a_repeated_static_input_is_counted_as_papers_do_and_said_so() -> None:
    net = Net(lambda x, e, c: c(e(x).flatten(0, 1)), e=Direct(4), c=nn.Conv2d(1, 2, 3, bias=False))
    row = audit(net, torch.rand(1, 1, 5, 5)).layers[0]
    assert (row.multiplications, row.dense_macs) == (4 * 9 * 9 * 2, 9 * 9 * 2)
    assert "the same input 4 times, counted 4 times as papers do; computed once it would be 162" in row.note


def test_a_readout_scale_is_named() -> None:
    notes = [
        row.note
        for row in audit(Net(lambda x, n: n(x).mean(0), n=LIF()), torch.rand(3, 1, 4), batch_axis=1).layers
    ]
    assert any(note.startswith("readout scale: one positive constant on all outputs") for note in notes)


def test_what_folds_says_where() -> None:
    net = Net(lambda x, c, b, n: n(b(c(x)).mean((2, 3))), c=nn.Conv2d(2, 3, 1), b=nn.BatchNorm2d(3), n=Fire())
    notes = {row.op: row.note for row in audit(net, torch.rand(1, 2, 4, 4), inputs=SPIKES).layers}
    assert notes["aten.batch_norm.default"] == "folds into parts.c"


@pytest.mark.parametrize(
    ("net", "shape", "why", "replacement"),
    [
        (RepConv(2, 3), (1, 2, 4, 4), "linear layers in a row", r"fuse\(model\) where they are one RepConv"),
        (SepConv(2, kernel_size=3), (1, 1, 2, 4, 4), "the depthwise convolution in front emits real values",
         r"fuse\(model, dense_separable=True\) makes the pair one dense convolution"),
        (Net(lambda x: x.softmax(-1)), (1, 4), "softmax of image values", "spike-driven attention"),
        (LIF(0.6), (1, 1, 4), "the leak 0.6 is no power of two", "a decay of 1/2"),
    ],
    ids=["RepConv", "SepConv", "softmax", "leak"],
)  # fmt: skip
def test_an_exception_says_why_and_what_instead(
    net: nn.Module, shape: tuple[int, ...], why: str, replacement: str
) -> None:
    if not why:
        net, why, replacement = (
            Net(lambda x: x.softmax(-1)),
            "softmax of image values",
            "spike-driven attention",
        )
    left = audit(net, torch.rand(shape), inputs=SPIKES if isinstance(net, RepConv) else ()).exceptions[-1]
    assert left.why.startswith(why)
    assert re.match(replacement, left.replacement)
    assert left.file
    assert left.line > 0
    assert left.count + left.functions > 0


def test_save_and_load_give_the_same_audit(tmp_path: Path) -> None:
    result = audit(conv_net(), torch.rand(1, 2, 5, 6), data=torch.rand(3, 2, 5, 6))
    assert Audit.load(result.save(tmp_path / "audit.json")) == result
    assert json.loads((tmp_path / "audit.json").read_text())["table"]["name"] == "45nm"


def test_energy_is_the_named_table_s() -> None:
    result = audit(Net(lambda x, fc: fc(x), fc=nn.Linear(6, 5)), torch.rand(1, 6), inputs=SPIKES)
    assert result.totals["joules"] == pytest.approx(30 * 0.9e-12)
    assert result.totals["dense_joules"] == pytest.approx(30 * 4.6e-12)
    assert "Horowitz" in result.table["source"]
    assert TABLES["45nm"].joules(Work(functions=1)) == 4.6e-12


def test_the_graph_hash_follows_the_weights() -> None:
    model, x = conv_net(), torch.rand(1, 2, 5, 6)
    before = audit(model, x).graph_hash
    assert audit(model, x).graph_hash == before
    with torch.no_grad():
        model.get_submodule("parts.c").weight.mul_(2)  # type: ignore[operator, union-attr]
    assert audit(model, x).graph_hash != before


def test_the_terminal_table_names_verdict_totals_and_exceptions() -> None:
    text = audit(
        Net(lambda x, a, b: b(a(x)), a=nn.Linear(6, 5), b=nn.Linear(5, 4)), torch.rand(1, 6)
    ).table_text()
    assert text.startswith("Net: hybrid, analog first layer parts.a (per sample, worst case)")
    assert "1 operation multiplies" in text
    assert "test_audit.py:" in text


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (
            torch.rand(3, 2, 5, 5),
            ShapeError,
            r"shape \(3, 2, 5, 5\); it takes \(1, 2, 5, 6\) with any number",
        ),
        (torch.rand(0, 2, 5, 6), ShapeError, "0 samples"),
        (torch.full((1, 2, 5, 6), torch.nan), ValueRangeError, "NaN or infinity"),
    ],
)
def test_unfit_data_is_refused(data: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        audit(conv_net(), torch.rand(1, 2, 5, 6), data=data)


def test_an_unknown_table_lists_the_known() -> None:
    with pytest.raises(UnknownNameError, match=r"no energy table named '7nm'.*45nm"):
        audit(conv_net(), torch.rand(1, 2, 5, 6), table="7nm")


@pytest.mark.parametrize(
    "text", ["", "{", '{"format": "other", "version": 1}', '{"format": "spikedrive.audit"}', "[]"]
)
def test_a_damaged_certificate_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "audit.json").write_text(text)
    with pytest.raises(FormatError, match=r"audit.json .*Run the audit again"):
        Audit.load(tmp_path / "audit.json")


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Could not write"):
        audit(conv_net(), torch.rand(1, 2, 5, 6)).save(tmp_path / "file" / "audit.json")


def test_a_weight_that_the_input_makes_is_refused() -> None:
    with pytest.raises(AuditError, match="has a weight that depends on the input"):
        audit(Net(lambda x: nn.functional.conv_transpose1d(x, x)), torch.rand(3, 3, 3))


def test_a_bias_that_the_input_makes_is_refused() -> None:
    with pytest.raises(AuditError, match="has a bias that depends on the input"):
        audit(Net(lambda x, fc: torch.addmm(x, x, fc.weight), fc=nn.Linear(3, 3)), torch.rand(3, 3))


def test_control_flow_is_refused_by_name() -> None:
    class Inner(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            with torch.enable_grad():
                return x + 1

    with pytest.raises(AuditError, match=r"holds a graph of its own.*Leave control flow"):
        audit(Inner(), torch.rand(2, 3))


def test_an_adapter_turns_another_library_s_model_into_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ADAPTERS, "_items", {})
    theirs = nn.Linear(2, 2)
    register_adapter("theirs", lambda model: Fire() if model is theirs else None)
    assert audit(theirs, torch.rand(1, 2)).model == "Fire"
    assert audit(nn.Linear(2, 3), torch.rand(1, 2)).model == "Linear"


def test_a_model_in_training_is_audited_in_eval_mode_and_left_alone() -> None:
    model = Net(lambda x, c, d: d(c(x)), c=nn.Conv2d(1, 2, 1), d=nn.Dropout(0.5)).train()
    assert audit(model, torch.rand(1, 1, 3, 3)).verdict == "additive"
    assert model.training


def test_every_case_of_the_corpus_can_be_saved(tmp_path: Path) -> None:
    for case in CASES[:3]:
        result = audit(case.net(), example_of(case), inputs=case.inputs)
        assert Audit.load(result.save(tmp_path / "audit.json")) == result
