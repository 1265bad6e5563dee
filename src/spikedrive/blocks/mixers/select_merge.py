"""Select-and-merge attention: exact attention over the few segments that resemble a query, shared by its neighbours."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from spikedrive.blocks.mixers.causal_attention import CausalAttention, check_heads
from spikedrive.blocks.mixers.rotary import Rope, Rotary, make_rotary
from spikedrive.blocks.mixers.sequence import SEQUENCE_MIXERS
from spikedrive.errors import ConfigError
from spikedrive.neurons.neuron import check_count
from spikedrive.state import Axis, Stateful

PIECE = 256
"""Queries whose segments are chosen at once: the scores of all of them would grow with the square of the text."""

State = tuple[Tensor, Tensor, Tensor, Tensor]


class SelectMergeCache(Stateful):
    """Attention over a token's own segment and over chosen segments before it.

    *Equation*: the keys lie in segments of `segment` tokens, the semantic token of a whole segment is the mean of its
    keys; token t chooses the `top` segments before its own with the largest q_t . mean. `region` tokens in a row form a
    region: its keys are gathered once, and token t sees what any token of the region up to t chose. Over these keys and
    those of its own segment up to t it attends exactly, as `AttentionCache` does over all.
    *Shapes*: x (L, B, 3 C), q, k, v -> (L, B, C); the state is k and v (B, H, S, D), the means (B, H, S // segment, D)
    and the queries of a region that is not whole yet.
    *Units*: a token attends to at most (region top + 1) segment keys, so that products and memory of the attention
    grow with the text. Choosing takes S / segment products of a query with a mean each, which grow with its square,
    in pieces whose memory does not. The state grows by 2 C (1 + 1 / (2 segment)) numbers a token and text.
    *Multiplies*: everything; the choice has no gradient.
    *Raises*: ConfigError for numbers below 1, a region that does not divide the segment, or rotary positions whose
    trained length it does not divide.
    *Source*: "Correlation-Aware Select and Merge Attention" (arXiv 2410.04211): segments, semantic tokens, the choice
    by their correlation, merged regions of queries, positions for chosen tokens only.
    *Where we differ*: no formula stands in its abstract and no code was released. It is causal here to the token, so
    that a text in parts equals the whole: a query chooses for itself, since the mean of a segment of queries would
    look ahead, and what a region shares it shares with later tokens only. Positions are those of the text.
    """

    axis: Axis = "tokens"

    def __init__(
        self, heads: int, *, segment: int, top: int, region: int, rotary: Rotary | None = None
    ) -> None:
        super().__init__()
        for key, value in (("segment", segment), ("top", top), ("region", region)):
            check_count("SelectMergeCache", key, value)
        if segment % region or (rotary is not None and rotary.trained % region):
            whole = "segment" if segment % region else "trained"
            raise ConfigError(
                f"SelectMergeCache got region={region}, segment={segment}"
                f"{f', trained={rotary.trained}' if rotary else ''}; a region divides both. Change region or {whole}."
            )
        self.heads, self.segment, self.top, self.region, self.rotary = heads, segment, top, region, rotary

    def rest(self, x: Tensor) -> None:
        """No token yet."""
        return

    def scan(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """The answers, and what later tokens may choose from."""
        q, k, v = x.unflatten(2, (3, self.heads, -1)).permute(2, 1, 3, 0, 4).unbind(0)
        new, begins = q.shape[2], state is None
        if state is None:
            means = k[:, :, :0]
        else:
            k, v, q = (torch.cat(pair, 2) for pair in ((state[0], k), (state[1], v), (state[3], q)))
            means = state[2]
        count, start = k.shape[2], k.shape[2] - q.shape[2]
        whole, known = count // self.segment, means.shape[2]
        fresh = k[:, :, known * self.segment : whole * self.segment]
        means = torch.cat((means, fresh.unflatten(2, (whole - known, self.segment)).mean(3)), 2)
        y = self._attend(q, k, v, means, begins=begins)[:, :, -new:]
        unfinished = q[:, :, count // self.region * self.region - start :]
        return y.permute(2, 0, 1, 3).flatten(2), (k, v, means, unfinished)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, means: Tensor, *, begins: bool) -> Tensor:
        """Of the queries of the last regions."""
        (batch, heads, queries, width), count, m, s = q.shape, k.shape[2], self.region, self.segment
        start = count - queries
        regions = -(-queries // m)
        more = regions * m - queries
        asked = start + torch.arange(regions * m, device=q.device).reshape(regions, m)
        segments = (asked[:, :1] // s).expand(batch * heads, -1, -1)
        shared = torch.ones(1, 1, m, 1, dtype=torch.bool, device=q.device)
        if means.shape[2]:
            chosen, valid = (
                F.pad(t, (0, 0, 0, more)).reshape(batch * heads, regions, -1)
                for t in self._choose(q, means, start)
            )
            segments, shared = torch.cat((chosen, segments), -1), self._shared(chosen, valid)
        q = F.pad(q, (0, 0, 0, more)).reshape(batch * heads, regions, m, width)
        k, v = (F.pad(t, (0, 0, 0, -count % s)).reshape(batch * heads, -1, s, width) for t in (k, v))
        text = torch.arange(batch * heads, device=q.device)[:, None, None]
        # (BH, R, N, D): what each region gathers
        keys, values = (t[text, segments].flatten(2, 3) for t in (k, v))
        at = (segments[..., None] * s + torch.arange(s, device=q.device)).flatten(2)
        if self.rotary is not None:
            positions, octaves = self.rotary.places(count, begins=begins, device=q.device)
            # padded tokens are never seen
            positions = F.pad(positions, (0, s + m))
            # the octave of a region is that of its first token: no base grows inside of one
            grown = sum((asked[:, 0] >= first) * 1 for first, _ in octaves) - 1 + octaves[0][1]
            theta = self.rotary.frequencies(grown, q)[:, None]
            q, keys = self.rotary(q, positions[asked], theta), self.rotary(keys, positions[at], theta)
        seen = shared.repeat_interleave(s, -1) & (at[:, :, None] <= asked[:, :, None])
        scores = (q @ keys.transpose(-1, -2) * width**-0.5).masked_fill(~seen, -torch.inf)
        y = scores.softmax(-1) @ values
        return y.reshape(batch, heads, regions * m, width)[:, :, :queries]

    @torch.no_grad()
    def _choose(self, q: Tensor, means: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """The segments of each query, (B, H, L, K), and which of them there are."""
        rows, each = [], min(self.top, means.shape[2])
        segments = torch.arange(means.shape[2], device=q.device)
        for first in range(0, q.shape[2], PIECE):
            piece = q[:, :, first : first + PIECE]
            tokens = start + first + torch.arange(piece.shape[2], device=q.device)
            scores = piece @ means.transpose(-1, -2)
            scores = scores.masked_fill(segments >= tokens[:, None] // self.segment, -torch.inf)
            rows.append(scores.topk(each))
        values, indices = (torch.cat(parts, 2) for parts in zip(*rows, strict=True))
        return indices, values > -torch.inf

    def _shared(self, chosen: Tensor, valid: Tensor) -> Tensor:
        """Which gathered segments each token of a region sees, (BH, R, m, N); its own comes last."""
        m, each = self.region, chosen.shape[-1] // self.region
        place = torch.arange(m * each, device=chosen.device)
        # two tokens may choose one segment, whose keys count once: those that came first
        twice = (chosen[..., :, None] == chosen[..., None, :]) & valid[..., None, :]
        valid = valid & ~(twice & (place < place[:, None])).any(-1)
        by = torch.arange(m, device=chosen.device).repeat_interleave(each)
        seen = valid[:, :, None] & (by <= torch.arange(m, device=chosen.device)[:, None])
        return F.pad(seen, (0, 1), value=True)


def select_merge(
    width: int,
    *,
    layer: int,
    layers: int,
    heads: int = 4,
    segment: int = 16,
    top: int = 4,
    region: int = 4,
    rope: Rope | None = None,
    trained: int = 256,
    longest: int | None = None,
) -> CausalAttention:
    """norm, select-and-merge attention, linear layer; with everything chosen it is `CausalAttention`.

    *Raises*: ConfigError where the heads do not divide the width; as `SelectMergeCache` and `Rotary`.
    """
    rotary = make_rotary(rope, check_heads("select_merge", width, heads), trained=trained, longest=longest)
    cache = SelectMergeCache(heads, segment=segment, top=top, region=region, rotary=rotary)
    return CausalAttention(width, layer=layer, layers=layers, heads=heads, cache=cache)


SEQUENCE_MIXERS.add("select_merge", select_merge)
