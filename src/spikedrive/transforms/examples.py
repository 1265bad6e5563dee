"""The input that a model is traced with where the user gives none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikedrive.errors import ConfigError

EXAMPLE_TOKENS = 2
"""Of a text: the second token meets what the first one left."""


def example_of(
    what: str, model: nn.Module, example: Tensor | tuple[Tensor, ...] | None
) -> tuple[Tensor, ...]:
    """The given example, or noise (B, C, H, W) or (T, B, C, H, W) as the card says, ids (L, B), or points (B, N, D).

    The noise is normal, for points uniform in 0..1, of a fixed seed: an example of zeros would move nothing and prove
    nothing.

    *Raises*: ConfigError for a model without a card.
    """
    if example is not None:
        return tuple(example) if isinstance(example, (tuple, list)) else (example,)
    card = getattr(model, "card", None)
    if card is None:
        raise ConfigError(
            f"{what} got a {type(model).__name__} without a card and no example; it takes one input as the model takes "
            f"it. Call {what}(model, example=x)."
        )
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    if card.input == "tokens":
        return (example_ids(model, EXAMPLE_TOKENS),)
    if getattr(model, "input", card.input) == "points":
        points = (1, card.input_size[1], getattr(model, "in_channels", card.input_size[0]))
        return (torch.rand(points, generator=torch.Generator().manual_seed(0), dtype=dtype),)
    channels, height, width = card.input_size
    size = (1, getattr(model, "in_channels", channels), height, width)
    steps = getattr(model, "steps", card.steps)
    shape = (steps, *size) if getattr(model, "input", card.input) == "frames" else size
    return (torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype),)


def example_ids(model: nn.Module, tokens: int) -> Tensor:
    """Random ids (L, 1) of a text, from a fixed seed, none of which is padding."""
    vocabulary: int = getattr(model, "vocabulary", None) or model.classes  # type: ignore[assignment]
    ids = torch.randint(vocabulary, (tokens, 1), generator=torch.Generator().manual_seed(0))
    padding = getattr(model, "padding", None)
    return ids if padding is None else ids.masked_fill(ids == padding, padding + 1)
