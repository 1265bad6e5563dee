"""Randomised-smoothing coding: the input again at every step, each time under fresh noise."""

from __future__ import annotations

from torch import Tensor

from spikedrive.encoders.checks import static_input
from spikedrive.neurons.neuron import check_count, check_number
from spikedrive.ops.noise import first_state, noise
from spikedrive.state import Stateful


class RSC(Stateful):
    """Add Gaussian noise of its own to each step of a static input.

    *Equation*: y_t = x + n_t, n_t normal with mean 0 and deviation sigma, independent. With sigma = 0 it is
    `Direct`.

    *Shapes*: x (B, ...) -> (T, B, ...).
    *Units*: sigma in units of x.
    *Multiplies*: none; it emits real values, so the first layer is the analog one.
    *Raises*: ConfigError for steps below 1, or a negative sigma or seed.
    *Source*: RSC-SNN (arXiv 2407.20099), from its abstract; no code was published, and whether it limits y to
    0..1 is not known: here it does not.

    The seed is as in `Poisson`; the gradient of x is that of every step.

    >>> import torch
    >>> RSC(2, sigma=0.0)(torch.tensor([[0.5]])).flatten().tolist()
    [0.5, 0.5]
    """

    static = True

    def __init__(self, steps: int = 1, *, sigma: float, seed: int | None = None) -> None:
        super().__init__()
        check_count("RSC", "steps", steps)
        check_number("RSC", "sigma", sigma, low=0)
        if seed is not None:
            check_number("RSC", "seed", seed, low=0)
        self.steps, self.sigma, self.seed = int(steps), float(sigma), seed

    @property
    def domain(self) -> None:
        """Real numbers."""
        return

    def rest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The seed, and step 0."""
        return first_state(self.seed)

    def scan(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The noisy input, and the seed with the number of the next step."""
        static_input("RSC", x)
        steps, (seed, step) = self.steps_override or self.steps, state
        if self.sigma == 0:
            return x.unsqueeze(0).expand(steps, *x.shape), (seed, step + steps)
        n, step = noise(x.detach(), seed, step, steps, self.sigma)
        return x + n.to(x.dtype), (seed, step)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"steps={self.steps}, sigma={self.sigma:g}, seed={self.seed}"
