"""Pure tensor functions: each fast one stands beside its slow twin."""

from spikedrive.ops.domain import Binary, Domain, Integer, Ternary
from spikedrive.ops.fold import over_time
from spikedrive.ops.ilif import ilif_scan
from spikedrive.ops.lif import lif_scan
from spikedrive.ops.surrogate import Surrogate

__all__ = ["Binary", "Domain", "Integer", "Surrogate", "Ternary", "ilif_scan", "lif_scan", "over_time"]
