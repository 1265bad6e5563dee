"""What layers behind a `DeltaActivation` are sent, beside what they would be sent without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from spikedrive.errors import ConfigError, StateError
from spikedrive.neurons import DeltaActivation, sparsity_loss


@dataclass
class LayerCount:
    """Of one layer: how many values there were, and how many of them were not zero."""

    values: int = 0
    activations: int = 0
    """Of x, which a dense layer multiplies."""
    rounded: int = 0
    """Of Q(x)."""
    changes: int = 0
    """Of what is sent."""


@dataclass
class DeltaRecord:
    """What a model with `DeltaActivation`s sent while it was recorded.

    `layers` has the counts of each by its path. Over many calls, as those of a stream, they add up.
    """

    layers: dict[str, LayerCount] = field(default_factory=dict)
    sent: list[Tensor] = field(default_factory=list)
    """The changes of all layers, where gradients are recorded."""

    def density(self, what: str = "changes") -> float:
        """The share of values that were not zero, over all layers: of "activations", "rounded" or "changes".

        *Raises*: StateError where nothing was recorded.
        """
        values = sum(layer.values for layer in self.layers.values())
        if not values:
            raise StateError(
                "DeltaRecord recorded nothing; it takes at least one call of the model. Call the model inside "
                "record_deltas."
            )
        return sum(getattr(layer, what) for layer in self.layers.values()) / values

    def sparser(self) -> float:
        """How many times fewer values that are not zero are sent than a dense network multiplies; infinite for none."""
        changes = self.density("changes")
        return self.density("activations") / changes if changes else float("inf")

    def loss(self) -> Tensor:
        """The mean |change| of each layer, summed: times a weight of one's own, a term that makes a model send less.

        *Raises*: StateError where nothing was recorded with gradients.
        """
        if not self.sent:
            raise StateError(
                "DeltaRecord has no changes with gradients; it takes a call under autograd. Call the model inside "
                "record_deltas without torch.no_grad."
            )
        return sparsity_loss(self.sent)

    def __str__(self) -> str:
        rows = [
            f"{path}: {count.changes / count.values:.1%} of values sent, {count.activations / count.values:.1%} of "
            "activations not zero"
            for path, count in self.layers.items()
        ]
        return "\n".join([*rows, f"together {self.sparser():.2f} times fewer"])


@contextmanager
def record_deltas(model: nn.Module) -> Iterator[DeltaRecord]:
    """Record what each `DeltaActivation` of a model sends until the block ends.

    *Raises*: ConfigError for a model that has none.
    """
    places = {path: m for path, m in model.named_modules() if isinstance(m, DeltaActivation)}
    if not places:
        raise ConfigError(
            f"record_deltas got a {type(model).__name__} without DeltaActivation; it takes a model with one. Put "
            "DeltaLayer(layer, threshold) in place of its layers."
        )
    record = DeltaRecord({path: LayerCount() for path in places})

    handles = [module.register_forward_hook(_watch(record, path)) for path, module in places.items()]
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()


def _watch(record: DeltaRecord, path: str) -> Callable[..., None]:
    """A hook that counts for the layer of that path."""
    count = record.layers[path]

    def hook(module: DeltaActivation, given: tuple[Tensor, ...], changes: Tensor) -> None:
        x, step = given[0], module.step.detach() if isinstance(module.step, Tensor) else module.step
        with torch.no_grad():
            count.values += x.numel()
            count.activations += int(x.count_nonzero())
            count.rounded += int((x / step).round().count_nonzero() if step else x.count_nonzero())
            count.changes += int(changes.count_nonzero())
        if changes.requires_grad:
            record.sent.append(changes)

    return hook
