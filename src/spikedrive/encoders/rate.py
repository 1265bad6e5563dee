"""Rate coding: the brighter, the more often."""

from __future__ import annotations

from torch import Tensor

from spikedrive.encoders.checks import unit_interval
from spikedrive.neurons.neuron import check_count, check_number
from spikedrive.ops.domain import Binary, Domain
from spikedrive.ops.noise import first_state, noise
from spikedrive.state import Stateful


class Poisson(Stateful):
    """Spikes at random, each with the probability that the intensity says.

    *Equation*: s_t = 1 where u_t < x, with u_t uniform in 0..1 and independent; so the rate tends to x.

    *Shapes*: x (B, ...) in 0..1 -> (T, B, ...).
    *Units*: x is the probability of a spike in one step.
    *Multiplies*: none; one comparison with a random number a step. The first layer meets spikes.
    *Raises*: ConfigError for steps below 1 or a negative seed; ValueRangeError for an intensity outside 0..1.

    With `shared` all samples meet the same random numbers, so that what one gives does not depend on its place among
    them.

    A seed gives the same spikes at every call, on every device, and in chunks as in the whole; without one each
    call draws its own from PyTorch's global generator. No gradient reaches x.

    >>> import torch
    >>> Poisson(1000, seed=1)(torch.tensor([[0.0, 1.0]])).mean(0).tolist()
    [[0.0, 1.0]]
    """

    static = True

    def __init__(self, steps: int = 1, *, seed: int | None = None, shared: bool = False) -> None:
        super().__init__()
        check_count("Poisson", "steps", steps)
        if seed is not None:
            check_number("Poisson", "seed", seed, low=0)
        self.steps, self.seed, self.shared = int(steps), seed, shared

    @property
    def domain(self) -> Domain:
        """Binary."""
        return Binary()

    def rest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The seed, and step 0."""
        return first_state(self.seed)

    def scan(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The spikes, and the seed with the number of the next step."""
        unit_interval("Poisson", x)
        seed, step = state
        u, step = noise((x[:1] if self.shared else x).detach(), seed, step, self.steps_override or self.steps)
        return (u < x).to(x.dtype), (seed, step)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"steps={self.steps}, seed={self.seed}"
