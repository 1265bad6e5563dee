"""Fuzz the C++ loader of `.sdx` files, with the sanitizers of addresses and of undefined behaviour.

Usage: python tools/fuzz_loader.py [SECONDS [SEED]]

Seeds are the programs of the tests. Where there is no compiler it says so and passes, and fails under
SPIKEDRIVE_STRICT=1. A file that makes the loader stop is kept in build/fuzz/crash.sdx.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NATIVE = ROOT / "src" / "spikedrive" / "engine" / "native"
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
# one allocation may take no more than this, since the seeds are a few kilobytes
LIMITS = "allocator_may_return_null=0:max_allocation_size_mb=16:handle_abort=1:detect_leaks=1"


def main(seconds: str = "60", seed: str = "0") -> int:
    """The exit code of the fuzzing."""
    if shutil.which("c++") is None:
        strict = os.environ.get("SPIKEDRIVE_STRICT") == "1"
        print(f"loader of .sdx files: {'failed' if strict else 'not fuzzed'}, for want of a C++ compiler. "
              "On Debian: apt-get install g++")  # fmt: skip
        return int(strict)
    folder = ROOT / "build" / "fuzz"
    corpus = folder / "seeds"
    corpus.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, str(ROOT / "tests"))
    from engine.seeds import seeds

    for name, data in seeds().items():
        (corpus / f"{name}.sdx").write_bytes(data)
    program = folder / "fuzz_sdx"
    sources = [str(ROOT / "tests" / "native" / "fuzz_sdx.cpp"), str(NATIVE / "file" / "sdx.cpp")]
    options = ["-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Werror", *SANITIZE, f"-I{NATIVE}"]
    code = subprocess.run(["c++", *options, *sources, "-o", str(program)]).returncode
    if code:
        return code
    environment = os.environ | {
        "ASAN_OPTIONS": LIMITS,
        "UBSAN_OPTIONS": "print_stacktrace=1:abort_on_error=1",
    }
    return subprocess.run([str(program), "seeds", seconds, seed], cwd=folder, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
