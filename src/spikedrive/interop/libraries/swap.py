"""A copy of a model in which the neurons of other libraries are ours."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from spikedrive.errors import ConfigError
from spikedrive.interop.libraries import norse, sinabs, snntorch, spikingjelly
from spikedrive.interop.libraries.cells import InexactError, start_at_rest

LIBRARIES: dict[str, Any] = {
    "spikingjelly": spikingjelly, "snntorch": snntorch, "norse": norse, "sinabs": sinabs,
}  # fmt: skip
"""By the name of the package: what knows its neurons. None of them imports it."""


def neurons_of_others(model: nn.Module) -> list[tuple[str, nn.Module, str]]:
    """Path, module and library of each module of theirs that keeps a state."""
    found = []
    for path, module in model.named_modules():
        # a class of the user's own may derive from one of theirs
        packages = [c.__module__.partition(".")[0] for c in type(module).__mro__]
        library = next((name for name in packages if name in LIBRARIES), None)
        if library is not None and LIBRARIES[library].keeps_state(module):
            found.append((path, module, library))
    return found


def as_ours(model: nn.Module, *, most: int | None = None) -> nn.Module:
    """A deep copy of `model` with the neurons of SpikingJelly, snnTorch, Norse and Sinabs swapped for ours.

    The copy gives the same answers, from rest at each call; its gradients are those of our surrogate. `most` bounds the
    integers of neurons of Sinabs that fire any number of times a step: the copy fires no more often.

    Raises: ConfigError naming the module and its class where no neuron of ours has exactly its equation.
    """
    # deepcopy takes what its memo holds for copied already
    memo: dict[int, Any] = {}
    for path, module, library in neurons_of_others(model):
        memo[id(module)] = _swapped(path, module, library, most)
    return start_at_rest(copy.deepcopy(model, memo))


def _swapped(path: str, module: nn.Module, library: str, most: int | None) -> nn.Module:
    cls, known = type(module), LIBRARIES[library]
    try:
        if cls.__module__.partition(".")[0] != library:
            raise InexactError(f"a class of its own, derived from one of {library}")
        if cls.__name__ not in known.NEURONS:
            raise InexactError("which no neuron here is equal to")
        return known.convert(module, most)
    except InexactError as reason:
        raise ConfigError(
            f"Module {path or '(the model itself)'!r} is a {cls.__module__}.{cls.__qualname__}: {reason}. Of {library} "
            f"these have exact counterparts: {', '.join(known.NEURONS)}. Use one of them, or a neuron of "
            "spikedrive.neurons."
        ) from None
