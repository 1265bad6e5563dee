"""Models side by side: a page with one table and one figure, from one artifact file."""

from spikedrive.reports.comparison.page import ARTIFACT, write_comparison

__all__ = ["ARTIFACT", "write_comparison"]
