"""What can be watched: a recording, or the clips of a set one after another, as a simulated camera gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spikedrive.data.events import EVENT_SETS, Events, list_event_splits, load_events, open_recording
from spikedrive.errors import DataError


@dataclass(frozen=True)
class Input:
    """Events that can be played any number of times, each from the beginning.

    *Units*: width and height in pixels.
    """

    title: str
    width: int
    height: int
    pieces: Callable[[], Iterator[Events]]


def open_input(source: str, *, size: tuple[int, int] | None = None, repair: bool = False) -> Input:
    """That of a file of `open_recording`, or of the test clips of a set of `load_events`, named SET or SET:FOLDER.

    *Raises*: DataError for what is neither, or cannot be read.
    """
    if source.partition(":")[0] in EVENT_SETS and not Path(source).is_file():
        return _clips(source)
    if Path(source).is_dir():
        raise DataError(
            f"{source} is a folder; a recording, or a set of clips ({', '.join(EVENT_SETS)}), is taken. Name one file."
        )
    recording = open_recording(source, size=size, repair=repair)

    def pieces() -> Iterator[Events]:
        # a recording of its own for each one who watches
        yield from open_recording(source, size=size, repair=repair)

    return Input(Path(source).name, recording.width, recording.height, pieces)


def _clips(source: str) -> Input:
    splits = list_event_splits(source)
    clips = load_events(source, "test" if "test" in splits else splits[0])

    def pieces() -> Iterator[Events]:
        start = 0
        for i in range(len(clips)):
            clip = clips[i]
            if len(clip):
                array = clip.array.copy()
                array["t"] += start
                start = int(array["t"][-1]) + 1
                yield Events(array, clip.width, clip.height)

    return Input(source, clips.width, clips.height, pieces)
