"""Convolutions and BatchNorms over the visible patches of an image alone, for any model of maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from spikedrive.errors import ConfigError

SPREADING: frozenset[Callable[..., Any]] = frozenset({F.conv2d, F.max_pool2d, F.avg_pool2d})
"""What carries values from one position to its neighbours."""


class VisibleOnly(TorchFunctionMode):
    """Inside, masked patches are empty at every resolution: sparse encoding with dense tensors.

    *Equation*, at a map of any size, with the mask m of the patches spread over its positions: conv(x) becomes
    m conv(x), likewise pooling; BatchNorm in training takes mean and variance over the positions with m = 1, and
    leaves the others zero. Neurons are silent at zero and shortcuts add zeros, so that nothing of a masked patch
    reaches a visible one: attention's sums over tokens have no addend from it.

    *Shapes*: visible (B, rows, columns), True where a patch is seen; maps (T B, C, H, W), H a multiple of rows and
    W of columns.
    *Raises*: ConfigError, inside, for a map that the patches do not divide or a layer that is none over maps.
    *Source*: SparK (arXiv 2301.03580), the rule of its sparse convolution; used for spiking networks by
    Spike-driven Transformer V3 (arXiv 2411.16061), whose attention stage is dense, unlike here.
    """

    def __init__(self, visible: Tensor) -> None:
        super().__init__()
        self._visible = visible
        self._spread: dict[tuple[int, int, int], Tensor] = {}
        self._seen: dict[tuple[int, int, int], Tensor] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        # the mode is off in here, so that another one around it (statistics of all processes) sees what is called
        if func is F.batch_norm:
            return self._normalise(func, *args, **(kwargs or {}))
        y = func(*args, **(kwargs or {}))
        return self.hide(y) if func in SPREADING else y

    def hide(self, x: Tensor) -> Tensor:
        """x (T B, C, H, W) with its masked patches zero."""
        return x * self._positions(x).to(x.dtype)

    def _normalise(self, func: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        visible, channels = self._positions(x), x.shape[1]
        key = (len(x), x.shape[2], x.shape[3])
        if key not in self._seen:
            self._seen[key] = visible.flatten().nonzero().squeeze(1)
        rows = x.movedim(1, 3).reshape(-1, channels)
        # as a map of one column: BatchNorm is quick on channels that lie last in memory
        column = rows.index_select(0, self._seen[key]).view(1, -1, 1, channels).movedim(3, 1)
        normal = func(column, *args, **kwargs).movedim(1, 3).reshape(-1, channels)
        filled = normal.new_zeros(rows.shape).index_copy(0, self._seen[key], normal)
        return filled.view(len(x), *x.shape[2:], channels).movedim(3, 1)

    def _positions(self, x: Tensor) -> Tensor:
        """The mask spread over the positions of x, (T B, 1, H, W)."""
        batch, rows, columns = self._visible.shape
        if x.dim() != 4 or x.shape[0] % batch or x.shape[2] % rows or x.shape[3] % columns:
            raise ConfigError(
                f"Masked encoding met an array of shape {tuple(x.shape)} under {rows} x {columns} patches of {batch} "
                f"images; it takes maps (T B, C, H, W) whose H and W are multiples of {rows} and {columns}. Choose an "
                "image_size that all strides of the model divide (32 for strides of 2, 2 and 2), or a model of maps."
            )
        key = (len(x), x.shape[2], x.shape[3])
        if key not in self._spread:
            every_step = self._visible.repeat(len(x) // batch, 1, 1)
            spread = every_step.repeat_interleave(x.shape[2] // rows, 1)
            self._spread[key] = spread.repeat_interleave(x.shape[3] // columns, 2).unsqueeze(1)
        return self._spread[key]
