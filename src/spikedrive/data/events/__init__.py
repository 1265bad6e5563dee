"""Events of an event camera: one type, recordings in every common format, read and written piece by piece."""

from spikedrive.data.events.clips import Clips, EventSet, PackedClips
from spikedrive.data.events.events import EVENT, Events, Repairs, check_events
from spikedrive.data.events.recording import FORMATS, Recording, open_recording, write_recording

__all__ = [
    "EVENT", "FORMATS", "Clips", "EventSet", "Events", "PackedClips", "Recording", "Repairs", "check_events",
    "open_recording", "write_recording",
]  # fmt: skip
