"""The package `transformers`, or the command that installs it."""

from __future__ import annotations

from typing import Any

from spikedrive.errors import MissingExtraError


def package() -> Any:
    """The imported module.

    Raises: MissingExtraError.
    """
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError(
            "The package transformers is not installed; language models are loaded through it. "
            "Install it: pip install 'spikedrive[language]'."
        ) from error
    return transformers
