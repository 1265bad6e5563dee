"""Samples, readers and transforms: everything between a file and a batch.

Every name is loaded on first use: `decode` needs numpy and Pillow, the rest torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikedrive.data.batching import batches, count_batches
    from spikedrive.data.decoding import decode
    from spikedrive.data.events.datasets.hardvs import HARDVS2
    from spikedrive.data.images import ImageSet
    from spikedrive.data.pictures import read_image
    from spikedrive.data.seeds import generator
    from spikedrive.data.sources import list_splits, load_images
    from spikedrive.data.stacking import collate

_HOME = {
    "HARDVS2": "events.datasets.hardvs",
    "ImageSet": "images", "batches": "batching", "collate": "stacking", "count_batches": "batching",
    "decode": "decoding", "generator": "seeds", "list_splits": "sources", "load_images": "sources",
    "read_image": "pictures",
}  # fmt: skip

__all__ = [
    "HARDVS2", "ImageSet", "batches", "collate", "count_batches", "decode", "generator", "list_splits", "load_images",
    "read_image",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"spikedrive.data.{_HOME[name]}"), name)
    raise AttributeError(f"module 'spikedrive.data' has no attribute {name!r}; it has {', '.join(__all__)}")
