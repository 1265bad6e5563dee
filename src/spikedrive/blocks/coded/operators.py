"""Linear layer, matrix product and softmax over numbers that travel as counts of spikes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikedrive.blocks.coded.spike_code import Per, SpikeCode
from spikedrive.errors import ShapeError


class Synapsis(nn.Module):
    """A linear layer between two codes: y = code(W code(x) + b).

    *Shapes*: x (..., C) -> (..., K).
    *Multiplies*: by the scales of both codes; W sees whole counts of spikes alone, which is n additions of a column.
    *Raises*: ConfigError for steps below 1, or another `per`.
    *Source*: BrainTransformers (arXiv 2410.14687). In its release the layer is this equation computed with real
    numbers, and an embedding is coded behind alone.
    """

    def __init__(self, linear: nn.Linear, *, steps: int = 127, per: Per = "tensor") -> None:
        super().__init__()
        self.linear = linear
        self.before, self.behind = SpikeCode(steps, per=per), SpikeCode(steps, per=per)

    def forward(self, x: Tensor) -> Tensor:
        """The code of the layer's answer."""
        y: Tensor = self.linear(self.before(x))
        return self.behind(y)


class SpikingMatmul(nn.Module):
    """Q K^T of two codes, which its own increments add up to.

    *Equation*, with counts n and scales s: A = (s_q n_q) (s_k n_k)^T. As spikes q_t, k_t come in, with their sums
    S = q_1 + ... + q_t and R likewise of k,

        A_t = A_(t - 1) + S k_t^T + q_t R^T - q_t k_t^T = S R^T

    and A_T = n_q n_k^T exactly: every product of an increment has a spike as one factor.

    *Shapes*: q (..., M, D), k (..., N, D) -> (..., M, N).
    *Multiplies*: by the scales.
    *Raises*: ShapeError for another width of k; ConfigError for steps below 1, or another `per`.
    *Source*: BrainTransformers (arXiv 2410.14687), whose SNNMatmul cannot be called in its release: there the neuron
    raises, and K is transposed twice. Its released model attends with real numbers.
    """

    def __init__(self, *, steps: int = 127, per: Per = "tensor") -> None:
        super().__init__()
        self.code = SpikeCode(steps, per=per)

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        """The product after the last step."""
        self._check(q, k)
        (n_q, s_q), (n_k, s_k) = self.code.counts(q), self.code.counts(k)
        return n_q @ n_k.mT * s_q * (s_k.mT if s_k.dim() else s_k)

    def each_step(self, q: Tensor, k: Tensor) -> Tensor:
        """A_t after every step, from increments. Shapes: (T, ..., M, N)."""
        self._check(q, k)
        (spikes_q, s_q), (spikes_k, s_k) = self.code.trains(q), self.code.trains(k)
        sum_q, sum_k = spikes_q.cumsum(0), spikes_k.cumsum(0)
        increments = sum_q @ spikes_k.mT + spikes_q @ sum_k.mT - spikes_q @ spikes_k.mT
        return increments.cumsum(0) * s_q * (s_k.mT if s_k.dim() else s_k)

    def _check(self, q: Tensor, k: Tensor) -> None:
        if q.shape[-1] != k.shape[-1]:
            raise ShapeError(
                f"SpikingMatmul got q of shape {tuple(q.shape)} and k of shape {tuple(k.shape)}; it takes (..., M, D) "
                "and (..., N, D). Give k as it is, not transposed."
            )


class SpikingSoftmax(nn.Module):
    """The softmax of a code, which the differences of the softmax of its first t spikes add up to.

    *Shapes*: x (..., N) -> (..., N).
    *Multiplies*: everything a softmax does, once a step; what is spiking is its input.
    *Raises*: ConfigError for steps below 1, or another `per`.
    *Source*: BrainTransformers (arXiv 2410.14687); it is not called in its released model.
    """

    def __init__(self, *, steps: int = 127, per: Per = "tensor") -> None:
        super().__init__()
        self.code = SpikeCode(steps, per=per)

    def forward(self, x: Tensor) -> Tensor:
        """The softmax after the last step."""
        return torch.softmax(self.code(x), -1)

    def each_step(self, x: Tensor) -> Tensor:
        """What has been sent after every step. Shapes: (T, ..., N)."""
        spikes, scale = self.code.trains(x)
        after = torch.softmax(spikes.cumsum(0) * scale, -1)
        # what a step sends is how much the softmax moved
        return torch.diff(after, dim=0, prepend=torch.zeros_like(after[:1])).cumsum(0)
