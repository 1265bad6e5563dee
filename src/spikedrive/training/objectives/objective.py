"""What the loop asks of a task: what is trained, its loss on a part of a batch, and how good it is."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from spikedrive.training.prepare import Data, Part


class Objective(ABC):
    """One task of a training run.

    `module` holds every weight that trains, and `call`, on all methods, is that module as the devices run it.
    """

    has_accuracy: bool

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    @abstractmethod
    def loss(self, call: nn.Module, part: Part) -> tuple[Tensor, Tensor]:
        """The loss of a part, and how many of its answers are right (zero for a task without accuracy)."""

    @abstractmethod
    def validate(
        self, call: nn.Module, data: Data, *, batch_size: int, rank: int, world: int
    ) -> tuple[float, float, int]:
        """Mean loss, accuracy (0 to 1) and number of the validation samples of this process, in eval mode."""

    @abstractmethod
    def weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Those of the model that the run is for, out of the state of `module`."""

    @abstractmethod
    def figures(self, val_loss: float) -> dict[str, float]:
        """What else follows from the validation loss, in the units that people of this task watch."""
