"""Events of an event camera: one type, recordings in every common format, read and written piece by piece."""

from spikedrive.data.events.batch import batch_events
from spikedrive.data.events.clips import Clips, EventSet, PackedClips
from spikedrive.data.events.events import EVENT, Events, Repairs, check_events
from spikedrive.data.events.paired import PairedClip, PairedReader, PairedSet
from spikedrive.data.events.paired_sources import PAIRED_SETS, is_paired, list_paired_splits, load_paired
from spikedrive.data.events.reading import FrameReader, PointReader, Reader, read_record
from spikedrive.data.events.recording import FORMATS, Recording, open_recording, write_recording
from spikedrive.data.events.slices import Slice, slice_by_count, slice_by_time
from spikedrive.data.events.sources import EVENT_SETS, list_event_splits, load_events

__all__ = [
    "EVENT",
    "EVENT_SETS",
    "FORMATS",
    "PAIRED_SETS",
    "Clips",
    "EventSet",
    "Events",
    "FrameReader",
    "PackedClips",
    "PairedClip",
    "PairedReader",
    "PairedSet",
    "PointReader",
    "Reader",
    "Recording",
    "Repairs",
    "Slice",
    "batch_events",
    "check_events",
    "is_paired",
    "list_event_splits",
    "list_paired_splits",
    "load_events",
    "load_paired",
    "open_recording",
    "read_record",
    "slice_by_count",
    "slice_by_time",
    "write_recording",
]
