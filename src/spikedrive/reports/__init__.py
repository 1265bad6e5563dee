"""Reports: figures and tables of a run's files, on one page that needs no network."""

from spikedrive.reports.page import write_report

__all__ = ["write_report"]
