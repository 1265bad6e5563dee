"""The order of a training epoch, as a pure function."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from spikedrive.data.images import ImageSet
from spikedrive.data.seeds import generator
from spikedrive.errors import ConfigError, DataError


def batches(
    images: ImageSet,
    batch_size: int,
    *,
    seed: int = 0,
    epoch: int = 0,
    shuffle: bool = False,
    rank: int = 0,
    world: int = 1,
    drop_last: bool = False,
    start_batch: int = 0,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The batches (indices, images, labels) of one epoch for one of `world` processes.

    The order depends on (seed, epoch) alone. `batch_size` counts images per process: batch k of
    all ranks together is batch k of one process with `world` times the size. Every rank gets the
    same number of batches; without `drop_last` the last one is shared out evenly, and is empty on
    some ranks when fewer images than ranks are left. `start_batch` skips the first ones, for
    resuming inside an epoch.

    Shapes: indices (b,) int64, images (b, C, H, W) uint8, labels (b,) int64, b <= batch_size.
    Raises: ConfigError for sizes or ranks that make no sense; DataError when `drop_last` leaves nothing.
    """
    count = count_batches(len(images), batch_size, world=world, drop_last=drop_last)
    if not 0 <= rank < world:
        raise ConfigError(
            f"batches got rank={rank} of world={world}; ranks run from 0 to world - 1. Check the launcher's variables."
        )
    if not 0 <= start_batch <= count:
        raise ConfigError(
            f"batches got start_batch={start_batch}, and this epoch has {count} batches; 0 to {count} is accepted. "
            "Resume with the batch size that the run was started with."
        )
    order = (
        torch.randperm(len(images), generator=generator(seed, epoch))
        if shuffle
        else torch.arange(len(images))
    )
    chosen = (_share(order, k, batch_size, rank, world) for k in range(start_batch, count))
    return _read(images, chosen)


def count_batches(images: int, batch_size: int, *, world: int = 1, drop_last: bool = False) -> int:
    """How many batches `batches` gives to each of `world` processes.

    Raises: ConfigError for a size below 1; DataError when `drop_last` leaves none.

    >>> count_batches(10, 4), count_batches(10, 4, drop_last=True), count_batches(10, 2, world=2)
    (3, 2, 3)
    """
    if batch_size < 1 or world < 1:
        raise ConfigError(
            f"batches got batch_size={batch_size}, world={world}; both are whole numbers of at least 1. Correct them."
        )
    whole, rest = divmod(images, batch_size * world)
    if drop_last and not whole:
        raise DataError(
            f"There are {images} images, and one batch takes {batch_size * world}; drop_last leaves none. "
            "Take a smaller batch_size or drop_last=False."
        )
    return whole + (1 if rest and not drop_last else 0)


def _share(order: Tensor, k: int, batch_size: int, rank: int, world: int) -> Tensor:
    together = order[k * batch_size * world : (k + 1) * batch_size * world]
    return together.tensor_split(world)[rank]


def _read(images: ImageSet, chosen: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    if isinstance(images.images, Tensor):
        for which in chosen:
            yield which, images.images[which], images.labels[which]
        return
    # files: the next batch is decoded while the caller works on this one
    source = images.images
    with ThreadPoolExecutor(1) as ahead:
        waiting = None
        for which in chosen:
            ready, waiting = waiting, (which, ahead.submit(source.__getitem__, which))
            if ready is not None:
                yield ready[0], ready[1].result(), images.labels[ready[0]]
        if waiting is not None:
            yield waiting[0], waiting[1].result(), images.labels[waiting[0]]
