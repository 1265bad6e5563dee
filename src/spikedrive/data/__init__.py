"""Samples, readers and transforms: everything between a file and a batch."""

from spikedrive.data.batches import batches, count_batches, generator
from spikedrive.data.collate import collate
from spikedrive.data.images import ImageSet
from spikedrive.data.pictures import decode, read_image
from spikedrive.data.sources import list_splits, load_images

__all__ = [
    "ImageSet", "batches", "collate", "count_batches", "decode", "generator", "list_splits", "load_images",
    "read_image",
]  # fmt: skip
