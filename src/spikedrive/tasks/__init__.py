"""Tasks: for each one its loss, its metric and how an answer is read."""

from spikedrive.tasks import classify

__all__ = ["classify"]
