"""Attention over time: each step is weighed by what all steps look like."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from spikedrive.errors import ShapeError
from spikedrive.neurons.neuron import check_count
from spikedrive.ops import checks
from spikedrive.state import Stateful


class TemporalAttention(Stateful):
    """Multiply each step by a score between 0 and 1.

    *Equation*: y_t = a_t x_t, a = sigmoid(W_2 relu(W_1 p + b_1) + b_2), where p_t is the mean of x_t over all
    axes but the batch; W_1 is (steps / reduction, steps).

    *Shapes*: x (T, B, ...) -> (T, B, ...), T = steps.
    *Multiplies*: each value by the score of its step, which depends on the input; the two layers and the
    sigmoid. The audit names them.
    *Raises*: ConfigError for steps or reduction below 1; ShapeError for another number of steps.
    *Source*: TA-SNN (ICCV 2021), before `AttentionLIF(reset_value=threshold)`. `scores` gives a alone, to drop
    the steps that matter least, and `weigh_kept` weighs those that are left.
    """

    def __init__(self, steps: int, reduction: int = 16) -> None:
        super().__init__()
        check_count("TemporalAttention", "steps", steps)
        check_count("TemporalAttention", "reduction", reduction)
        self.steps = int(steps)
        self.refuses_streaming = f"it weighs its {self.steps} steps against each other"
        hidden = max(1, self.steps // reduction)
        self.squeeze, self.excite = nn.Linear(self.steps, hidden), nn.Linear(hidden, self.steps)

    def rest(self, x: Float[Tensor, "T B *S"]) -> None:
        """Nothing is carried."""
        return

    def scan(self, x: Float[Tensor, "T B *S"], state: None) -> tuple[Float[Tensor, "T B *S"], None]:
        """The weighed steps."""
        return x * self.scores(x).view(*x.shape[:2], *[1] * (x.dim() - 2)), None

    def scores(self, x: Float[Tensor, "T B *S"]) -> Float[Tensor, "T B"]:
        """The score of each step."""
        checks.scan_input("TemporalAttention", x, None)
        check_steps("TemporalAttention", x, self.steps)
        return self._scores(_pooled(x))

    def weigh_kept(self, x: Float[Tensor, "N B *S"], kept: Int[Tensor, " N"]) -> Float[Tensor, "N B *S"]:
        """The weighed steps where only those numbered `kept` are left: the others count as steps of zeros."""
        checks.scan_input("TemporalAttention", x, None)
        means = x.new_zeros(self.steps, x.shape[1]).index_copy(0, kept, _pooled(x))
        return x * self._scores(means)[kept].view(*x.shape[:2], *[1] * (x.dim() - 2))

    def _scores(self, pooled: Tensor) -> Tensor:
        return self.excite(self.squeeze(pooled.T).relu()).sigmoid().T

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"steps={self.steps}"


def _pooled(x: Tensor) -> Tensor:
    return x.flatten(2).mean(-1) if x.dim() > 2 else x


def check_steps(name: str, x: Tensor, steps: int) -> None:
    """Raise ShapeError unless x (T, ...) has that many steps."""
    if x.shape[0] != steps:
        raise ShapeError(
            f"{name} got x of shape {tuple(x.shape)}; it takes the {steps} steps that its layers over time were made "
            "for. Encode that many."
        )
