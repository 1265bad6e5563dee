"""Refuses files and folders that have grown past the house rules, and tests of one name.

Usage: python tools/check_sizes.py [ROOT]
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

MOST_LINES = 600
MOST_FILES = 12
MOST_README_LINES = 150
# one file per model, recipe, data set, task, neuron, verb, mixer or test: these grow by design
WIDE_FOLDERS = {"models", "recipes", "data", "tasks", "neurons", "cli", "mixers"}
VAGUE_NAMES = {"utils.py", "helpers.py", "common.py"}


def faults(root: Path) -> list[str]:
    """One line for each file or folder that breaks a rule."""
    found = []
    sources = [
        path
        for top in ("src", "tests", "benchmarks", "tools", "examples")
        for path in (root / top).rglob("*.py")
        # environments that benchmarks make for themselves are hidden folders
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    ]
    for path in sorted(sources):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MOST_LINES:
            found.append(
                f"{path.relative_to(root)} has {lines} lines; at most {MOST_LINES}. Split it by idea."
            )
        if path.name in VAGUE_NAMES:
            found.append(
                f"{path.relative_to(root)} has a name that says nothing; name the idea that it holds."
            )
    tests = [path for path in sources if path.name.startswith("test_")]
    for name, count in sorted(Counter(path.name for path in tests).items()):
        if count > 1:
            found.append(
                f"{count} files are named {name}; pytest tells test files apart by name. Rename one."
            )
    for folder in sorted({p.parent for p in sources if p.is_relative_to(root / "src")}):
        count = sum(p.is_file() for p in folder.iterdir())
        if count > MOST_FILES and folder.name not in WIDE_FOLDERS:
            found.append(
                f"{folder.relative_to(root)} has {count} files; at most {MOST_FILES}. Make a folder."
            )
    readme = root / "README.md"
    if readme.exists() and len(readme.read_text(encoding="utf-8").splitlines()) > MOST_README_LINES:
        found.append(f"README.md has more than {MOST_README_LINES} lines. Move some of it to docs/.")
    return found


if __name__ == "__main__":
    problems = faults(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
    print("\n".join(problems) or "sizes: every file and folder is within the house rules")
    sys.exit(1 if problems else 0)
