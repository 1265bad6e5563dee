"""Rules of operations that ordinary networks use and spiking ones do without, one file a family.

What multiplies real numbers here is charged as multiplications that stay; what only moves, compares or adds
elements keeps the domain of what it moves.
"""

from spikedrive.auditing.rules.ordinary import (
    distances,
    division,
    functions,
    gradients,
    indexing,
    recurrent,
    resampling,
    scans,
    sorting,
    spectra,
)

__all__ = [
    "distances", "division", "functions", "gradients", "indexing", "recurrent", "resampling", "scans", "sorting",
    "spectra",
]  # fmt: skip
