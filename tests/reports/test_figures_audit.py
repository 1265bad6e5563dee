"""Operations and energy by layer hold the audit's numbers."""

from __future__ import annotations

import pytest
from synthetic_run import audit

from spikedrive.errors import DataError
from spikedrive.reports.figures_audit import energy_by_layer, energy_by_table, merge_rows, operations_by_layer
from spikedrive.reports.tables import energy_table, sources_table, tables_table, traffic_table


@pytest.fixture
def written(tmp_path):
    return audit("additive", exceptions=0).save(tmp_path / "audit.json")


def test_layers_stand_beside_the_dense_twin(written):
    figure = operations_by_layer(written)
    series = {trace.name: (list(trace.y), list(trace.x)) for trace in figure.plot.data if trace.name}
    assert series == {
        "dense MACs": ([0, 1, 2], [1e6, 1e6, 1e6]),
        "additions": ([1, 2], [2e5, 1e3]),
        "multiplications": ([0], [1e5]),
    }
    assert figure.says.startswith("201 k additions and 100 k multiplications a sample, against 3 M")
    assert figure.notes == ("At the density measured on 64 samples.",)


def test_energies_add_up_and_name_the_table(written):
    figure = energy_by_layer(written)
    spiking = next(trace for trace in figure.plot.data if trace.name == "spiking")
    assert list(spiking.x) == pytest.approx([4.6e-7, 1.8e-7, 9e-10])
    assert "641 nJ a sample, against 13.8 µJ of the dense twin, by the 45nm table" in figure.says
    assert "The costliest layer is stem with 460 nJ" in figure.says


def test_tables_stand_side_by_side(written):
    figure = energy_by_table(written)
    series = {trace.name: list(trace.x) for trace in figure.plot.data if trace.name}
    assert series == {"dense twin": [1.38e-5, 2e-5], "spiking": [6.4e-7, 3e-5]}
    assert figure.says == "Less than the dense twin by 45nm; no less by 45nm_memory."
    # a millijoule has its prefix
    assert figure.plot.layout.xaxis.minexponent == 1
    rows = tables_table(written).rows
    assert rows[1] == ("45nm_memory", "fp32", "30 µJ", "29 µJ", "20 µJ", "0.67 x")
    assert sources_table(written).rows[1][2:] == ("a <source>", "all of it", "a write: a read")


def test_bytes_stand_by_memory_and_kind(written):
    table = traffic_table(written)
    assert table.rows == (
        ("SRAM 8 kB", "activations", "0 B", "0 B", "6 MB", "150 kB"),
        ("SRAM 8 kB", "weights", "3 MB", "0 B", "0 B", "0 B"),
    )
    assert "of the table 45nm. One step of 4 moves a 4th" in table.says
    assert ("bytes read and written", "3 MB", "not charged", "") in energy_table(written).rows


def test_operations_of_one_module_are_one_row():
    found = audit("additive", exceptions=0)
    doubled = type(found)(**{**vars(found), "layers": found.layers + found.layers[1:2]})
    rows = merge_rows(doubled)
    assert [row.module for row in rows] == ["stem", "block.conv", "head"] and rows[1].additions == 4e5


def test_a_damaged_audit_names_its_command(written):
    written.write_text(written.read_text()[:200])
    with pytest.raises(
        DataError, match=r"audit\.json cannot be read.*Write it again: spikedrive audit .* --fused"
    ):
        energy_by_layer(written)
    with pytest.raises(DataError, match="no file"):
        energy_by_layer(written.with_name("audit_trained.json"))
