"""The exception tree: each error says what came, what is accepted and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SpikedriveError(Exception):
    """The root of every error that spikedrive raises on purpose."""


class ShapeError(SpikedriveError, ValueError):
    """A tensor or array of the wrong shape."""


class DtypeError(SpikedriveError, TypeError):
    """A tensor or array of the wrong element type."""


class ValueRangeError(SpikedriveError, ValueError):
    """A number outside the accepted range, NaN and infinity included."""


class ConfigError(SpikedriveError, ValueError):
    """An argument, recipe key or combination of them that is not accepted."""


class UnknownNameError(SpikedriveError, LookupError):
    """A name that no registry holds."""


class DataError(SpikedriveError, ValueError):
    """A data set, folder or file that cannot be read as what it should be."""


class StateError(SpikedriveError, RuntimeError):
    """Carried state used in a way that would give a silently wrong answer."""


class CheckpointError(SpikedriveError, ValueError):
    """A checkpoint that is damaged or belongs to another model."""


class AuditError(SpikedriveError, RuntimeError):
    """A graph that the audit cannot prove anything about."""


class UnrollError(SpikedriveError, ValueError):
    """A network that has no form in binary steps."""


class LoweringError(SpikedriveError, RuntimeError):
    """An audited graph that the engine cannot lower to integers."""


class FormatError(SpikedriveError, ValueError):
    """A file of ours that is truncated, damaged or of another version."""


class StorageError(SpikedriveError, OSError):
    """A file that could not be written; the previous one is untouched."""


class MissingExtraError(SpikedriveError, ImportError):
    """An optional dependency that is not installed."""


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The `count` known names closest to `name`, closest first.

    >>> nearest("lif", ["LIF", "PLIF", "ILIF", "IF"])
    ['LIF', 'ILIF', 'PLIF']
    """
    by_lower = {k.lower(): k for k in known}
    ranked = sorted(by_lower, key=lambda k: (-difflib.SequenceMatcher(None, name.lower(), k).ratio(), k))
    return [by_lower[k] for k in ranked[:count]]


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a `name` that is not among the `known` ones; it lists the three nearest."""
    known = sorted(known)
    if not known:
        return UnknownNameError(f"There is no {kind} named {name!r}; none is registered.")
    close = ", ".join(nearest(name, known))
    return UnknownNameError(
        f"There is no {kind} named {name!r}; {len(known)} are known. The nearest: {close}."
    )
