"""NeuroBench 2.3: its metrics on any model, and where the audit differs from them on purpose."""

from spikedrive.interop.neurobench.differences import DIFFERENCES, Difference, table
from spikedrive.interop.neurobench.metrics import (
    by_step,
    connection_sparsity,
    footprint,
    measure,
    parameter_count,
)

__all__ = [
    "DIFFERENCES",
    "Difference",
    "by_step",
    "connection_sparsity",
    "footprint",
    "measure",
    "parameter_count",
    "table",
]
