"""Real recordings of event cameras, read by us and by readers that share no code with us; two gigabytes in one.

Usage: python benchmarks/recordings.py [--gigabytes 2]

Fetches the sources of faery 0.7.1 into benchmarks/.recordings, which git ignores: its tests hold seven recordings.
AEDAT4 is compared with the package aedat, the others with the readers of tests/data/event_files.py. Then a .dat file of
two gigabytes is made, and played in a process that may take one gigabyte of memory. Writes results/recordings.csv.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aedat
import numpy as np
import results

from spikedrive.data.events import EVENT, Events, open_recording, write_recording

sys.path.insert(0, str(results.ROOT / "tests" / "data"))
import event_files  # pyright: ignore[reportMissingImports]

FOLDER = Path(__file__).resolve().parent / ".recordings"
SOURCE = "faery==0.7.1"
# pip asks the build backend for metadata of a source distribution before it keeps it; this one builds nothing
BACKEND = """
import pathlib
def prepare_metadata_for_build_wheel(folder, config=None):
    fields = dict(line.split(": ", 1) for line in open("PKG-INFO") if line.startswith(("Name: ", "Version: ")))
    name, version = fields["Name"].strip(), fields["Version"].strip()
    info = pathlib.Path(folder, f"{name}-{version}.dist-info")
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
    return info.name
def get_requires_for_build_wheel(config=None): return []
"""
LIMIT = 1 << 30
"""Bytes of data that the playing process may have."""
PLAYER = """
import resource, sys, time
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[2]),) * 2)
from spikedrive.data.events import open_recording
start, count, last = time.process_time(), 0, 0
for part in open_recording(sys.argv[1]):
    count, last = count + len(part), int(part.array["t"][-1])
seconds = time.process_time() - start
import json
import os
print(json.dumps([count, last, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""


def read_aedat(path: Path) -> np.ndarray:
    """The events of an AEDAT4 file by the package aedat."""
    packets = np.concatenate([packet["events"] for packet in aedat.Decoder(path) if "events" in packet])
    found = np.empty(len(packets), EVENT)
    for ours, theirs in (("t", "t"), ("x", "x"), ("y", "y"), ("p", "on")):
        found[ours] = packets[theirs]
    return found


def _same_scene(path: Path) -> np.ndarray:
    return event_files.read_es(path.with_name("dvs.es"))


OWN = "a few lines of our own"
RECORDINGS: dict[str, tuple[int, tuple[int, int] | None, Callable[[Path], np.ndarray], str]] = {
    "dvs.es": (473_225, None, event_files.read_es, OWN),
    "atis.es": (473_225, None, _same_scene, "dvs.es, which holds the same events"),
    "dvs.csv": (473_225, None, event_files.read_csv, OWN),
    "davis346.aedat4": (78_830, None, read_aedat, "aedat"),
    "evt2.raw": (521_252, (1280, 720), event_files.read_evt2, OWN),
    "evt3.raw": (1_218_618, None, event_files.read_evt3, OWN),
    "gen4.dat": (1_218_618, None, event_files.read_dat, OWN),
}
"""Published number of events, the sensor's size where the file does not say it, and who else reads it."""


def main() -> None:
    """Compare, play, and write the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=2.0)
    options = parser.parse_args()
    results.refuse_while_red()
    fetch()
    rows = [compare(name) for name in RECORDINGS]
    rows.append(play(round(options.gigabytes * 1e9 / 8)))
    print(results.write("recordings", rows).relative_to(results.ROOT))


def fetch() -> None:
    """Download and unpack what is not there yet."""
    if all((FOLDER / name).is_file() for name in RECORDINGS):
        return
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "maturin.py").write_text(BACKEND)
        words = [
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            ":all:",
            "--no-build-isolation",
        ]
        subprocess.run(
            [sys.executable, *words, "-d", folder, SOURCE],
            check=True,
            env={**os.environ, "PYTHONPATH": folder},
        )
        (archive,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as file:
            for member in file.getmembers():
                if Path(member.name).name in RECORDINGS and "tests/data" in member.name:
                    member.name = Path(member.name).name
                    file.extract(member, FOLDER, filter="data")


def compare(name: str) -> dict[str, object]:
    """One recording, event by event."""
    published, size, reader, who = RECORDINGS[name]
    start = time.process_time()
    recording = open_recording(FOLDER / name, size=size)
    events = recording.read()
    seconds = time.process_time() - start
    equal = bool(np.array_equal(reader(FOLDER / name), events.array))
    row = {
        "recording": name, "sensor": f"{recording.width} x {recording.height}", "events": len(events),
        "published": published, "seconds_long": round(events.duration / 1e6, 3), "compared_with": who, "equal": equal,
        "events_per_s": round(len(events) / seconds), "peak_mb": None,
    }  # fmt: skip
    print(row, flush=True)
    if len(events) != published or not equal:
        raise SystemExit(f"{name} was read wrongly: {row}")
    return row


def play(count: int) -> dict[str, object]:
    """A long recording in a process of little memory."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        path = Path(folder, "long.dat")
        written = write_recording(path, _long(count))
        command = [sys.executable, "-c", PLAYER, str(path), str(LIMIT)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        size = path.stat().st_size
    found, last, seconds, peak = json.loads(done.stdout)
    row = {
        "recording": f"generated .dat of {size / 1e9:.2f} GB, {LIMIT >> 20} MB of data allowed", "sensor": "640 x 480",
        "events": found, "published": written, "seconds_long": last / 1e6, "compared_with": "what was written",
        "equal": found == written, "events_per_s": round(found / seconds), "peak_mb": round(peak / 1e6),
    }  # fmt: skip
    print(row, flush=True)
    return row


def _long(count: int) -> Iterator[Events]:
    chance, piece = np.random.default_rng(0), 1 << 20
    array = np.empty(piece, EVENT)
    for first in range(0, count, piece):
        array["t"] = first + np.arange(piece)
        array["x"], array["y"] = chance.integers(0, 640, piece), chance.integers(0, 480, piece)
        array["p"] = chance.integers(0, 2, piece)
        yield Events(array[: count - first].copy(), 640, 480)


if __name__ == "__main__":
    main()
