"""The audit: which multiplications a model is left with, and why."""

from spikedrive.auditing.adapters import register_adapter
from spikedrive.auditing.energy import TABLES, EnergyTable
from spikedrive.auditing.result import Audit, LayerRow, Remaining
from spikedrive.auditing.verdict import audit

__all__ = ["TABLES", "Audit", "EnergyTable", "LayerRow", "Remaining", "audit", "register_adapter"]
