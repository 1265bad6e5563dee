"""The environment in which other libraries are measured: benchmarks/.peers, made from benchmarks/peers.txt.

It sees this project's environment, and so the same torch, through one path file; what it holds itself
comes without dependencies, so that no peer brings another torch, torchvision or torchaudio. None of the
pinned versions imports those two for its neurons, so nothing stands in for them.

Usage: python benchmarks/peers.py
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE / ".peers"
LIST = HERE / "peers.txt"


def python() -> Path:
    """The interpreter of the peers' environment, which is made or renewed first where needed."""
    stamp = FOLDER / "peers.txt"
    wanted = LIST.read_text(encoding="utf-8")
    interpreter = FOLDER / "bin" / "python"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return interpreter
    print(f"making {FOLDER.relative_to(HERE.parent)}", file=sys.stderr)
    venv.create(FOLDER, clear=True)
    pip = [sys.executable, "-m", "pip", "--python", str(interpreter), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--requirement", str(LIST)], check=True)
    # read after what stands beside it, so that the pinned packages come first
    (site,) = (FOLDER / "lib").glob("python*/site-packages")
    project = sysconfig.get_paths()["purelib"]
    (site / "project.pth").write_text(f"import site; site.addsitedir({project!r})\n", encoding="utf-8")
    stamp.write_text(wanted, encoding="utf-8")
    return interpreter


if __name__ == "__main__":
    print(python())
