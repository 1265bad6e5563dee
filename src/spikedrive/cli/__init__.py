"""The command line: one file per verb, each a few lines over the public functions."""

from spikedrive.cli.app import main

__all__ = ["main"]
