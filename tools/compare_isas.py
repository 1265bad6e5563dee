"""Build the program that compares the instruction sets of the native kernels, and run it; no Python module is built.

Usage: python tools/compare_isas.py [here | arm64 | sanitizers]

`here` takes this machine's own compiler, `sanitizers` that one with the sanitizers of addresses and of undefined
behaviour. `arm64` cross-compiles for 64-bit ARM and runs the program in an emulator; where that needs a program that is
missing, it says so and passes, and fails under SPIKEDRIVE_STRICT=1.
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

TARGETS: dict[str, tuple[str, ...]] = {"here": (), "arm64": ("neon",), "sanitizers": ()}
"""With the instruction sets that must be there."""

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
# a type of build without flags of its own: with those of a release it takes minutes to compile
SANITIZE = (
    "-DCMAKE_BUILD_TYPE=Sanitize",
    "-DCMAKE_CXX_FLAGS=-O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer",
)
EMULATOR = ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu")


def main(target: str) -> int:
    """The exit code of the comparison."""
    if target not in TARGETS:
        print(f"compare_isas.py got {target!r}; it takes {', '.join(TARGETS)}. Name one.", file=sys.stderr)
        return 2
    start = time.monotonic()
    command = build(target, "compare_isas", "instruction sets")
    if isinstance(command, int):
        return command
    compiled = time.monotonic() - start
    code = subprocess.run([*command, *TARGETS[target]]).returncode
    print(
        f"instruction sets of {target}: {compiled:.0f} s to compile, {time.monotonic() - start:.0f} s in all"
    )
    return code


def build(target: str, program: str, what: str) -> list[str] | int:
    """The command that runs `program` as compiled for the target, or the exit code where it is not built."""
    # a machine that is the target needs neither the cross-compiler nor the emulator
    at_home = target != "arm64" or platform.machine() in ("aarch64", "arm64")
    needed = HERE if at_home else ARM64
    packages = [package for name, package in needed.items() if shutil.which(name) is None]
    if packages:
        strict = os.environ.get("SPIKEDRIVE_STRICT") == "1"
        print(
            f"{what} of {target}: {'failed' if strict else 'not compared'}, for want of programs. "
            f"On Debian: apt-get install --no-install-recommends {' '.join(packages)}"
        )
        return int(strict)
    folder = ROOT / "build" / f"compare-{target}"
    options = [
        "-DSPIKEDRIVE_COMPARE=ON",
        *(() if at_home else CROSS),
        *(SANITIZE if target == "sanitizers" else ()),
    ]
    for command in (
        ["cmake", "-S", str(ROOT), "-B", str(folder), *options],
        ["cmake", "--build", str(folder), "--parallel", str(os.cpu_count()), "--target", program],
    ):
        built = subprocess.run(command, capture_output=True, text=True)
        if built.returncode:
            print(built.stdout, built.stderr, sep="", file=sys.stderr)
            return built.returncode
    return [*(() if at_home else EMULATOR), str(folder / program)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) == 2 else "here"))
