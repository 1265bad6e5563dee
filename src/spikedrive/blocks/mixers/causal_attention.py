"""Exact causal attention: the dense mixer that spiking ones are compared with, or stand beside in a hybrid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks.mixers.rotary import Rope, Rotary, make_rotary
from spikedrive.blocks.mixers.sequence import SEQUENCE_MIXERS
from spikedrive.errors import ConfigError
from spikedrive.state import Axis, Stateful


class AttentionCache(Stateful):
    """Attention over this token and those before it, whose keys and values are the state.

    *Equation*: y_t = sum_{j<=t} softmax_j(q_t . k_j / sqrt(D)) v_j, a head; with `rotary`, q and k turned by their
    positions, all with the frequencies of token t.
    *Shapes*: x (L, B, 3 C), q, k, v -> (L, B, C); the state is k and v, (B, H, S, D) after S tokens.
    *Units*: the state grows by 2 C numbers a token and text, without end.
    *Multiplies*: everything; memory grows with the tokens, and work with their square.
    """

    axis: Axis = "tokens"

    def __init__(self, heads: int, rotary: Rotary | None = None) -> None:
        super().__init__()
        self.heads, self.rotary = heads, rotary

    def rest(self, x: Tensor) -> None:
        """No token yet."""
        return

    def scan(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The answers, and all keys and values so far."""
        q, k, v = x.unflatten(2, (3, self.heads, -1)).permute(2, 1, 3, 0, 4).unbind(0)
        if state is not None:
            k, v = torch.cat((state[0], k), 2), torch.cat((state[1], v), 2)
        if self.rotary is None:
            y = _attend(q, k, v)
        else:
            y = _attend_at(self.rotary, q, k, v)
        return y.permute(2, 0, 1, 3).flatten(2), (k, v)


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Of the last tokens, over all of them; (B, H, L, D)."""
    if q.shape[2] == k.shape[2]:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    seen = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen.tril(k.shape[2] - q.shape[2]))


def _attend_at(rotary: Rotary, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same with positions, one octave of queries after the other."""
    count, done = k.shape[2], k.shape[2] - q.shape[2]
    positions, octaves = rotary.places(count, begins=done == 0, device=k.device)
    ends, answers = [*(first for first, _ in octaves[1:]), count], []
    for end, (_, octave) in zip(ends, octaves, strict=True):
        if end <= done:
            continue
        theta, own = rotary.frequencies(octave, k), q[:, :, done - count :][:, :, : end - done]
        turned = (rotary(own, positions[done:end], theta), rotary(k[:, :, :end], positions[:end], theta))
        answers.append(_attend(*turned, v[:, :, :end]))
        done = end
    return torch.cat(answers, 2)


class CausalAttention(nn.Module):
    """norm, attention over the tokens so far, linear layer.

    `rope` adds rotary positions, of texts of `trained` tokens and, for "crd_ntk", up to `longest` (`Rotary`); `cache`
    attends in another way than over all tokens.

    *Shapes*: x (L, B, C) -> (L, B, C).
    *Multiplies*: everything.
    *Raises*: ConfigError where the heads do not divide C; as `Rotary`.
    """

    def __init__(
        self,
        width: int,
        *,
        layer: int,
        layers: int,
        heads: int = 4,
        rope: Rope | None = None,
        trained: int = 256,
        longest: int | None = None,
        cache: Stateful | None = None,
    ) -> None:
        super().__init__()
        per_head = check_heads("CausalAttention", width, heads)
        if cache is None:
            cache = AttentionCache(heads, make_rotary(rope, per_head, trained=trained, longest=longest))
        self.norm, self.cache = nn.LayerNorm(width), cache
        self.qkv, self.output = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        for linear, std in ((self.qkv, 0.02), (self.output, 0.02 * (2 * layers) ** -0.5)):
            nn.init.normal_(linear.weight, std=std)

    def forward(self, x: Tensor) -> Tensor:
        """The branch, without its shortcut."""
        return self.output(self.cache(self.qkv(self.norm(x))))


def check_heads(name: str, width: int, heads: int) -> int:
    """Channels of a head.

    *Raises*: ConfigError where the heads do not divide the width.
    """
    if heads < 1 or width % heads:
        raise ConfigError(
            f"{name} got {heads} heads for {width} channels; it takes a number that divides them. Use 1."
        )
    return width // heads


SEQUENCE_MIXERS.add("attention", CausalAttention)
