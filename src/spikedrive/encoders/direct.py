"""Direct coding: a static input is shown again at every step."""

from __future__ import annotations

from torch import Tensor

from spikedrive.neurons.neuron import check_count
from spikedrive.state import Stateful


class Direct(Stateful):
    """Repeat a static input over T steps.

    *Shapes*: x (B, ...) -> (T, B, ...).
    *Multiplies*: none; the first layer sees real values and is the analog one.
    *Raises*: ConfigError for steps below 1.

    >>> import torch
    >>> Direct(steps=4)(torch.zeros(2, 3, 8, 8)).shape
    torch.Size([4, 2, 3, 8, 8])
    """

    static = True

    def __init__(self, steps: int = 1) -> None:
        super().__init__()
        check_count("Direct", "steps", steps)
        self.steps = int(steps)

    def rest(self, x: Tensor) -> None:
        """Nothing is carried: every step is the same."""
        return

    def scan(self, x: Tensor, state: None) -> tuple[Tensor, None]:
        """The input, T times (a view, nothing is copied)."""
        steps = self.steps_override or self.steps
        return x.unsqueeze(0).expand(steps, *x.shape), None

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"steps={self.steps}"
