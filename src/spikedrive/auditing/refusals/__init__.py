"""Why a model or an example cannot be audited, in the words of the one who wrote it."""

from spikedrive.auditing.refusals.eager import check_eager, own_copy
from spikedrive.auditing.refusals.example import examples_of, why_not_running
from spikedrive.auditing.refusals.export import keeps, numbers_of, silent, why_not_exported

__all__ = [
    "check_eager",
    "examples_of",
    "keeps",
    "numbers_of",
    "own_copy",
    "silent",
    "why_not_exported",
    "why_not_running",
]
