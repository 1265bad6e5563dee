"""Build the program that compares the instruction sets of the native kernels, and run it; no Python module is built.

Usage: python tools/compare_isas.py [here | arm64]

`here` takes this machine's own compiler. `arm64` cross-compiles for 64-bit ARM and runs the program in an emulator;
where a program for that is missing it says so and passes, and fails under SPIKEDRIVE_STRICT=1.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# what is needed, and the Debian package that holds it
HERE = {"cmake": "cmake", "c++": "g++"}
ARM64 = {
    "cmake": "cmake",
    "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
    "qemu-aarch64": "qemu-user",
}
CROSS = (
    "-DCMAKE_SYSTEM_NAME=Linux",
    "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
    "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++",
)
EMULATOR = ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu")


def main(target: str) -> int:
    """The exit code of the comparison."""
    if target not in ("here", "arm64"):
        print(f"compare_isas.py got {target!r}; it takes here or arm64. Name one.", file=sys.stderr)
        return 2
    # a machine that is the target needs neither the cross-compiler nor the emulator
    at_home = target == "here" or platform.machine() in ("aarch64", "arm64")
    needed = HERE if at_home else ARM64
    packages = [package for program, package in needed.items() if shutil.which(program) is None]
    if packages:
        strict = os.environ.get("SPIKEDRIVE_STRICT") == "1"
        print(
            f"instruction sets of {target}: {'failed' if strict else 'not compared'}, for want of programs. "
            f"On Debian: apt-get install --no-install-recommends {' '.join(packages)}"
        )
        return int(strict)
    start = time.monotonic()
    folder = ROOT / "build" / f"compare-{target}"
    options = ["-DSPIKEDRIVE_COMPARE=ON", *(() if at_home else CROSS)]
    for command in (
        ["cmake", "-S", str(ROOT), "-B", str(folder), *options],
        ["cmake", "--build", str(folder), "--parallel", str(os.cpu_count())],
    ):
        built = subprocess.run(command, capture_output=True, text=True)
        if built.returncode:
            print(built.stdout, built.stderr, sep="", file=sys.stderr)
            return built.returncode
    compiled = time.monotonic() - start
    names = ["neon"] if target == "arm64" else []
    code = subprocess.run([*(() if at_home else EMULATOR), str(folder / "compare_isas"), *names]).returncode
    print(
        f"instruction sets of {target}: {compiled:.0f} s to compile, {time.monotonic() - start:.0f} s in all"
    )
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) == 2 else "here"))
