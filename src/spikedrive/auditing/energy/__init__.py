"""Named energy tables. They disagree with each other, so a figure always names its table."""

from spikedrive.auditing.energy import lemaire as lemaire
from spikedrive.auditing.energy import published as published
from spikedrive.auditing.energy.own import read_table, table_of
from spikedrive.auditing.energy.table import PRICES, TABLES, EnergyTable, Memory, joined
from spikedrive.auditing.energy.work import Stream, Traffic, Work

__all__ = [
    "PRICES", "TABLES", "EnergyTable", "Memory", "Stream", "Traffic", "Work", "joined", "read_table", "table_of",
]  # fmt: skip
