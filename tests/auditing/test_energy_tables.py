"""Energy tables: published figures, hand-computed energies, tables of one's own, and all of them side by side."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from auditing.nets import SPIKES, Net
from spikedrive.auditing import TABLES, Audit, EnergyTable, audit, read_table
from spikedrive.auditing.energy import Memory, Stream, Work, table_of
from spikedrive.errors import ConfigError, UnknownNameError

PICO = 1e-12
OWN = """
name = "my_chip"
process = "22 nm, 0.6 V"
precision = "int8"
source = "measured"
scope = "one core"
weight_bits = 8

[operations]
mac = 0.5
addition = 0.25
sum = 0.125

[[memories]]
name = "SRAM"
capacity = 64
picojoules_per_byte = 2

[[memories]]
name = "DRAM"
picojoules_per_byte = 100
"""


@pytest.fixture(scope="module")
def spiking() -> Audit:
    """Six spikes, at worst, into five outputs: 30 additions and five biases."""
    return audit(Net(lambda x, fc: fc(x), fc=nn.Linear(6, 5)), torch.rand(1, 6), inputs=SPIKES)


def test_every_table_says_where_it_comes_from() -> None:
    assert TABLES.names() == [
        "45nm", "45nm_int16", "45nm_int32", "45nm_int8", "45nm_int8_memory", "45nm_memory", "lemaire_2022",
    ]  # fmt: skip
    for name in TABLES:
        table = TABLES[name]
        assert table.name == name
        assert all((table.process, table.precision, table.source, table.scope, table.derived))
        assert table.mac > table.addition > 0


@pytest.mark.parametrize(
    ("name", "mac", "addition"),
    [
        ("45nm", 3.7 + 0.9, 0.9),
        ("45nm_int8", 0.2 + 0.03, 0.03),
        ("45nm_int16", 0.8 + 0.05, 0.05),
        ("45nm_int32", 3.1 + 0.1, 0.1),
        ("45nm_int8_memory", 0.2 + 0.1, 0.1),
        ("45nm_memory", 3.7 + 0.9, 0.9),
        ("lemaire_2022", 3.1 + 0.1, 0.1),
    ],
)
def test_prices_are_those_of_the_source(name: str, mac: float, addition: float) -> None:
    assert (TABLES[name].mac, TABLES[name].addition) == pytest.approx((mac * PICO, addition * PICO))
    # what the source lacks is named
    assert any(said.startswith("mac:") for said in TABLES[name].derived) == (
        name in ("45nm_int16", "45nm_int8_memory")
    )


# bytes of the linear layer: 30 weights and 5 biases read, 6 spikes in bits, and 35 sums read and written
FP32_BYTES = 30 * 4 + 5 * 4 + 6 / 8 + 2 * 35 * 4
INT8_BYTES = 30 * 1 + 5 * 4 + 6 / 8 + 2 * 35 * 4
# its twin: 30 weights, 5 biases, 6 inputs, 5 outputs
FP32_TWIN = (30 + 5 + 6 + 5) * 4
INT8_TWIN = 30 * 1 + 5 * 4 + 6 * 1 + 5 * 1
NEAR = 10 / 8
# of an SRAM of its own size: all 30 weights of 4 bytes, 5 biases, 5 sums, and 1000 messages of 4 bytes
WORD = 10 / 4 / 8192
LEMAIRE = WORD * (120 * 120 + 20 * 20 + 280 * 20 + 24 * 4000) + 0.1 * (30 + 5 + 30)
LEMAIRE_TWIN = WORD * (120 * 120 + 20 * 20 + 24 * 24 + 20 * 20) + 3.2 * 30 + 0.1 * (6 + 5)


@pytest.mark.parametrize(
    ("name", "ours", "twin"),
    [
        ("45nm", 30 * 0.9, 30 * 4.6),
        ("45nm_int8", 30 * 0.03, 30 * 0.23),
        ("45nm_int16", 30 * 0.05, 30 * 0.85),
        ("45nm_int32", 30 * 0.1, 30 * 3.2),
        ("45nm_memory", 35 * 0.9 + NEAR * FP32_BYTES, 30 * 4.6 + NEAR * FP32_TWIN),
        ("45nm_int8_memory", 35 * 0.1 + NEAR * INT8_BYTES, 30 * 0.3 + NEAR * INT8_TWIN),
        ("lemaire_2022", LEMAIRE, LEMAIRE_TWIN),
    ],
)
def test_energies_are_those_of_a_hand_calculation(
    spiking: Audit, name: str, ours: float, twin: float
) -> None:
    found = next(e for e in spiking.energies if e.table == name)
    assert (found.joules, found.dense_joules) == pytest.approx((ours * PICO, twin * PICO))


def test_the_rows_are_one_table_s_throughout(spiking: Audit) -> None:
    net = Net(lambda x, fc: fc(x), fc=nn.Linear(6, 5))
    for name in ("45nm_int8_memory", "lemaire_2022"):
        found = audit(net, torch.rand(1, 6), inputs=SPIKES, table=name)
        beside = {e.table: e.joules for e in found.energies}
        assert found.table["name"] == name
        assert found.totals["joules"] == pytest.approx(beside[name]) == pytest.approx(found.layers[0].joules)
        assert beside == {e.table: e.joules for e in spiking.energies}
        assert found.totals["bytes_read"] == sum(
            m.read for e in found.energies if e.table == name for m in e.memories
        )


def test_the_terminal_shows_every_table(spiking: Audit) -> None:
    text = spiking.table_text()
    assert re.search(r"energy by table +precision +spiking +of it memory +dense twin", text)
    assert all(re.search(rf"^{name} .*pJ|^{name} .*nJ", text, re.M) for name in TABLES)
    assert re.search(r"^SRAM 8 kB +281 +140 +164 +20$", text, re.M)


def test_a_tensor_lives_in_the_first_memory_that_holds_it() -> None:
    table = TABLES["45nm_memory"]
    for size, memory in ((8 * 1024, "SRAM 8 kB"), (8 * 1024 + 4, "SRAM 32 kB"), (1024 * 1024, "SRAM 1 MB")):
        (moved,) = table.traffic(Work(streams=(Stream("weights", size / 4, read=3),)))
        assert (moved.memory, moved.read) == (memory, 12)


def test_what_fits_no_memory_comes_from_dram_once_a_step() -> None:
    half_a_million = Stream("weights", 2**19, read=2**22, passes=3)
    near, far = TABLES["45nm_memory"].traffic(Work(streams=(half_a_million,)))
    assert (near.memory, near.read) == ("SRAM 1 MB", 4 * 2**22)
    assert (far.memory, far.read) == ("DRAM", 3 * 4 * 2**19)
    assert far.joules == pytest.approx(3 * 2**21 / 8 * 1300 * PICO)
    # no more than is asked for
    _, far = TABLES["45nm_memory"].traffic(Work(streams=(Stream("weights", 2**19, read=10),)))
    assert far.read == 40


@pytest.mark.parametrize(
    ("kilobytes", "picojoules"), [(4, 5.0), (8, 10.0), (20, 15.0), (32, 20.0), (1024, 100.0), (2016, 180.0)]
)
def test_an_interpolated_access_costs_what_lies_on_the_line(kilobytes: int, picojoules: float) -> None:
    word = Work(streams=(Stream("weights", kilobytes * 256, read=1),))
    assert TABLES["lemaire_2022"].joules(word) == pytest.approx(picojoules * PICO)


def test_a_table_of_one_s_own(tmp_path: Path) -> None:
    (tmp_path / "chip.toml").write_text(OWN)
    table = read_table(tmp_path / "chip.toml")
    assert (table.mac, table.addition, table.function) == pytest.approx((0.5e-12, 0.25e-12, 0.5e-12))
    assert table.memories[1] == Memory("DRAM", None, 100 * PICO)
    net = Net(lambda x, fc: fc(x), fc=nn.Linear(6, 5))
    by_path = audit(net, torch.rand(1, 6), inputs=SPIKES, table=tmp_path / "chip.toml")
    assert [e.table for e in by_path.energies] == ["my_chip", *TABLES]
    # int8 weights fit 64 bytes, as do 5 biases, 5 sums and 6 spikes
    assert by_path.totals["joules"] == pytest.approx(PICO * (30 / 4 + 5 / 8 + 2 * INT8_BYTES))
    assert audit(net, torch.rand(1, 6), inputs=SPIKES, table=table).totals == by_path.totals
    assert Audit.load(by_path.save(tmp_path / "audit.json")) == by_path


def test_the_example_of_the_page_is_a_table(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/explanation/energy.md").read_text("utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.S)
    (tmp_path / "chip.toml").write_text(example)
    assert read_table(tmp_path / "chip.toml").memories[-1].capacity is None
    assert all(f"`{name}`" in page for name in TABLES)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mac = 0.5", "mac = -1", "operations.mac: Input should be greater than or equal to 0"),
        ("mac = 0.5", "mac = true", "operations.mac: Input should be a valid number"),
        ("weight_bits = 8", "weight_bits = true", "weight_bits: Input should be a valid integer"),
        ("mac = 0.5", "", "operations.mac: Field required"),
        ("sum = 0.125", "summ = 0.125", "operations.summ: Extra inputs are not permitted"),
        ('source = "measured"', 'source = ""', "source: String should have at least 1 character"),
        ("weight_bits = 8", "weight_bits = 0", "weight_bits: Input should be greater than or equal to 1"),
        ('name = "my_chip"', 'name = "45nm"', "name: '45nm' is the name of a registered table"),
        ("capacity = 64", "", "the last one, and no other, is without a capacity"),
        ('name = "DRAM"', 'name = "SRAM"', "names are unique"),
        ("[operations]", "[operations", "TOMLDecodeError"),
    ],
)
def test_an_unfit_file_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in OWN
    (tmp_path / "chip.toml").write_text(OWN.replace(old, new))
    with pytest.raises(
        ConfigError, match=rf"chip.toml is no energy table.*{message}.*it takes a TOML file.*Correct"
    ):
        read_table(tmp_path / "chip.toml")


def test_memories_grow(tmp_path: Path) -> None:
    more = OWN.replace("[[memories]]", '[[memories]]\nname = "L2"\ncapacity = 64\n\n[[memories]]', 1)
    (tmp_path / "chip.toml").write_text(more)
    with pytest.raises(ConfigError, match="capacities grow"):
        read_table(tmp_path / "chip.toml")


def test_an_unknown_table_is_refused_with_the_list(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownNameError, match=r"named '7nm'; the tables are 45nm, .*lemaire_2022.*Give one of"
    ):
        table_of("7nm")
    with pytest.raises(ConfigError, match=r"none.toml is no energy table \(FileNotFoundError"):
        table_of(tmp_path / "none.toml")


def test_a_name_stands_for_one_table() -> None:
    other = EnergyTable("45nm", 1.0, 1.0, process="p", precision="p", source="s", scope="s")
    with pytest.raises(ConfigError, match="'45nm' differs from the registered one"):
        table_of(other)
