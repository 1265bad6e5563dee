"""The package `nir`, or the command that installs it."""

from __future__ import annotations

from typing import Any

from spikedrive.errors import MissingExtraError


def package() -> Any:
    """The imported module.

    Raises: MissingExtraError.
    """
    try:
        import nir
    except ImportError as error:
        raise MissingExtraError(
            "The package nir is not installed; NIR graphs are made of its classes. "
            "Install it: pip install 'spikedrive[nir]'."
        ) from error
    return nir
