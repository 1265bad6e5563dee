"""The registry of sequence mixers: what lets a token see those before it, under one face."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from spikedrive.errors import ConfigError
from spikedrive.registry import Registry

SequenceMixer = Callable[..., nn.Module]
"""`mixer(width, layer=i, layers=n, **arguments)`: a causal module from membranes x (L, B, C) to a branch (L, B, C).

Whatever it carries from token to token is in `Stateful` modules along the tokens, so that `run` continues it.
"""

SEQUENCE_MIXERS: Registry[SequenceMixer] = Registry("sequence mixer")


def make_sequence_mixer(mixer: str | Mapping[str, Any], width: int, *, layer: int, layers: int) -> nn.Module:
    """The mixer of one layer: a registered name, or `{"name": ..., **arguments}`.

    *Raises*: UnknownNameError for an unknown name; ConfigError for arguments that it does not take.
    """
    arguments = {"name": mixer} if isinstance(mixer, str) else dict(mixer)
    name = arguments.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(
            f"A sequence mixer got {dict(arguments)}, which has no name; it takes a key 'name' beside the arguments. "
            f"Name one of {', '.join(SEQUENCE_MIXERS)}."
        )
    make = SEQUENCE_MIXERS[name]
    try:
        # not the call itself, whose own mistakes are no matter of arguments
        inspect.signature(make).bind(width, layer=layer, layers=layers, **arguments)
    except TypeError as error:
        raise ConfigError(
            f"The sequence mixer {name} got {arguments}, which it does not take ({error}). Change the arguments."
        ) from error
    return make(width, layer=layer, layers=layers, **arguments)
