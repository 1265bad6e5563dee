"""Spike-driven attention over space and time, by Hamming similarity or by dot product, linear in both.

Suffixes: T steps, B batch, C channels, G heads, D channels of a head, L tokens of a frame (H W).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor, nn

from spikedrive.blocks.linear import LinearChain, batch_norm_map, conv_with_bias
from spikedrive.blocks.neuron import NeuronLike, make_neuron
from spikedrive.errors import ConfigError, unknown_name
from spikedrive.ops.fold import over_time
from spikedrive.state import Stateful

Similarity = Literal["hamming", "dot"]
Scope = Literal["clip", "past", "frame"]
"""Whose keys and values a token sees: the whole clip's, those up to its own step, or its own frame's."""


class SpaceTimeAttention(nn.Module):
    """Attention of every token to the tokens of a clip, of its past or of its frame: the branch of a membrane shortcut.

    s = N(x); q, k, v = N(projection(s)), spikes; then, per head, with n over the tokens in `scope`,

    *Equation*: hamming: z = N(BN((2 q - 1) sum_n (2 k_n - 1)^T v_n / (2 C)))
                dot:     z = N(q sum_n k_n^T v_n / 8), with half the threshold
                and y = proj(z)

    (2 q - 1)(2 k - 1)^T is the number of channels in which two tokens agree less those in which they differ, so that
    0.5 + it / (2 C) is their Hamming similarity; the constant half is left out. Keys meet values first: the cost grows
    with T L, never with its square. It is computed as 4 q M - 2 q R - 2 sum(M) + sum(R), M the sum of k^T v and R that
    of 1^T v, so that every factor is a spike and never a sign; that is the same number, exactly.

    *Shapes*: x (T, B, C, H, W) -> (T, B, C, H, W).
    *Multiplies*: spikes by counts only, executed as additions; shifts by 1 and 2; BatchNorm's gain is one constant a
    channel, which folds into the threshold, and C into it.
    *Raises*: UnknownNameError for another similarity or scope; ConfigError where heads do not divide the channels, or
    for neurons that emit integers other than 0 and 1.
    *Source*: SpikeVideoFormer (arXiv 2505.10352) with scope "clip", its joint attention. **Where we differ**: "frame"
    is its spatial attention; "past" is ours, and is the one that streams over more than a frame.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        *,
        projection: Callable[[int, int], nn.Module],
        similarity: Similarity = "hamming",
        scope: Scope = "clip",
        neuron: NeuronLike = "LIF",
    ) -> None:
        super().__init__()
        if similarity not in get_args(Similarity):
            raise unknown_name("similarity", similarity, get_args(Similarity))
        if scope not in get_args(Scope):
            raise unknown_name("scope of attention", scope, get_args(Scope))
        if heads < 1 or channels % heads:
            raise ConfigError(
                f"SpaceTimeAttention got heads={heads} for {channels} channels; it takes a divisor. "
                "Change heads or width."
            )
        self.heads, self.similarity, self.scope = heads, similarity, scope
        self.in_neuron = make_neuron(neuron)
        emitted = self.in_neuron.domain
        # real numbers are those of a twin without spikes, for which the equation holds too
        if emitted is not None and (emitted.low, emitted.high) != (0, 1):
            raise ConfigError(
                f"SpaceTimeAttention got {type(self.in_neuron).__name__}, which emits {emitted}; it "
                "compares spikes of 0 or 1. Use LIF, PLIF or IF."
            )
        self.q, self.k, self.v = (projection(channels, channels) for _ in range(3))
        self.q_neuron, self.k_neuron, self.v_neuron = (make_neuron(neuron) for _ in range(3))
        self.pairs, self.values = _gather(scope), _gather(scope)
        self.norm = HammingNorm(channels) if similarity == "hamming" else nn.Identity()
        self.out_neuron = make_neuron(neuron, threshold=1.0 if similarity == "hamming" else 0.5)
        self.proj = projection(channels, channels)

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """The branch, without its shortcut."""
        s = self.in_neuron(x_TBCHW)
        q_TBGDL, k_TBGDL, v_TBGDL = (
            neuron(over_time(project, s)).flatten(3).unflatten(2, (self.heads, -1))
            for project, neuron in (
                (self.q, self.q_neuron), (self.k, self.k_neuron), (self.v, self.v_neuron)
            )
        )  # fmt: skip
        # channels of v before those of k, so that nothing is transposed back; over the clip there is no T axis
        m_TBGDD = self.pairs(v_TBGDL @ k_TBGDL.transpose(-1, -2))

        def merge(y_TBGDL: Tensor) -> Tensor:
            return y_TBGDL.flatten(-3, -2).unflatten(-1, x_TBCHW.shape[3:])

        agree = merge(m_TBGDD @ q_TBGDL)
        if self.similarity == "dot":
            return over_time(self.proj, self.out_neuron(agree * 0.125))
        r_TBGDD = self.values(v_TBGDL.sum(-1, keepdim=True)).expand(m_TBGDD.shape)
        present = merge(r_TBGDD @ q_TBGDL)
        # one number a channel, as a map of one position
        m_TBC11, r_TBC11 = (part.sum(-1).flatten(-2)[..., None, None] for part in (m_TBGDD, r_TBGDD))
        y = self.norm(agree * 4, present * 2, m_TBC11 * 2, r_TBC11)
        return over_time(self.proj, self.out_neuron(y))

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"similarity={self.similarity}, scope={self.scope}, heads={self.heads}"


class HammingNorm(LinearChain):
    """BatchNorm of a - b - c + d, over twice the number of channels.

    *Shapes*: a, b (T, B, C, H, W); c, d (T, B, C, 1, 1), or (B, C, 1, 1) for every step alike -> (T, B, C, H, W).
    *Multiplies*: one constant a channel, which folds into a threshold.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        """The normalised sum."""
        return over_time(self.bn, (a - b - c + d) / (2 * self.bn.num_features))

    def fused(self, *, dense_separable: bool) -> nn.Module:
        """The same constant, with its sign, for each term."""
        gain, shift = batch_norm_map(self.bn)
        return _SignedSum(gain / (2 * len(gain)), shift).to(self.bn.weight)


class _SignedSum(nn.Module):
    """gain (a - b - c + d) + shift, as one layer of integers a term: weights of one size, which rounds alike."""

    def __init__(self, gain: Tensor, shift: Tensor) -> None:
        super().__init__()
        like = nn.Conv2d(len(gain), len(gain), 1, groups=len(gain)).to(gain)
        nothing = shift.new_zeros(shift.shape)
        self.terms = nn.ModuleList(
            conv_with_bias((sign * gain).view(-1, 1, 1, 1), bias, like)
            for sign, bias in ((1, shift), (-1, nothing), (-1, nothing), (1, nothing))
        )

    def forward(self, *values: Tensor) -> Tensor:
        y, *others = (
            over_time(term, value) if value.dim() == 5 else term(value)
            for term, value in zip(self.terms, values, strict=True)
        )
        for other in others:
            y = y + other
        return y


class _SumOverClip(Stateful):
    """The sum over all steps: (T, B, ...) -> (B, ...)."""

    refuses_streaming = (
        "it sums over the whole clip, so that every step sees later ones; scope='past' sums up to each step"
    )

    def rest(self, x: Tensor) -> None:
        """Nothing."""
        return

    def scan(self, x: Tensor, state: None) -> tuple[Tensor, None]:
        """The sum."""
        return x.sum(0), None


class _SumOverPast(Stateful):
    """The sum up to each step, its own included: (T, B, ...) -> (T, B, ...)."""

    def rest(self, x: Tensor) -> None:
        """Nothing was seen yet."""
        return

    def scan(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """The sums, and the last of them."""
        y = x.cumsum(0) if state is None else x.cumsum(0) + state
        return y, y[-1]


def _gather(scope: Scope) -> nn.Module:
    if scope == "frame":
        return nn.Identity()
    return _SumOverClip() if scope == "clip" else _SumOverPast()
