"""What token ids must be before a table is asked for their rows."""

from __future__ import annotations

import torch
from torch import Tensor

from spikedrive.errors import DtypeError, ShapeError, ValueRangeError


def check_ids(name: str, ids: Tensor, *, vocabulary: int, context: int | None) -> Tensor:
    """The ids, checked, for the model of that name.

    *Shapes*: ids (L, B).
    *Raises*: ShapeError, DtypeError, ValueRangeError.
    """
    if ids.dim() != 2 or 0 in ids.shape:
        raise ShapeError(
            f"{name} got ids of shape {tuple(ids.shape)}; it takes (L, B), at least one token of one text. For one "
            "text write ids[:, None]."
        )
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise DtypeError(
            f"{name} got ids of dtype {ids.dtype}; it takes integers. Encode text first: tokenizer.encode(text)."
        )
    if not torch.compiler.is_compiling() and ids.device.type == "cpu":
        low, high = int(ids.min()), int(ids.max())
        if low < 0 or high >= vocabulary:
            raise ValueRangeError(
                f"{name} got the token {low if low < 0 else high}; it takes 0 to {vocabulary - 1}. Encode "
                "with the tokenizer that the model was trained with."
            )
    if context is not None and len(ids) > context:
        raise ShapeError(
            f"{name} got {len(ids)} tokens; it takes at most {context}. Shorten the text, or choose a model "
            "with a recurrent state."
        )
    return ids
