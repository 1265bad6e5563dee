"""Exact causal attention: the dense mixer that spiking ones are compared with, or stand beside in a hybrid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks.mixers.sequence import SEQUENCE_MIXERS
from spikedrive.errors import ConfigError
from spikedrive.state import Axis, Stateful


class AttentionCache(Stateful):
    """Attention over this token and those before it, whose keys and values are the state.

    *Equation*: y_t = sum_{j<=t} softmax_j(q_t . k_j / sqrt(D)) v_j, a head.
    *Shapes*: x (L, B, 3 C), q, k, v -> (L, B, C); the state is k and v, (B, H, S, D) after S tokens.
    *Multiplies*: everything; memory and work grow with the tokens.
    """

    axis: Axis = "tokens"

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def rest(self, x: Tensor) -> None:
        """No token yet."""
        return

    def scan(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The answers, and all keys and values so far."""
        q, k, v = x.unflatten(2, (3, self.heads, -1)).permute(2, 1, 3, 0, 4).unbind(0)
        if state is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            k, v = torch.cat((state[0], k), 2), torch.cat((state[1], v), 2)
            seen = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=x.device)
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen.tril(k.shape[2] - q.shape[2]))
        return y.permute(2, 0, 1, 3).flatten(2), (k, v)


class CausalAttention(nn.Module):
    """norm, attention over the tokens so far, linear layer.

    *Shapes*: x (L, B, C) -> (L, B, C).
    *Multiplies*: everything.
    *Raises*: ConfigError where the heads do not divide C.
    """

    def __init__(self, width: int, *, layer: int, layers: int, heads: int = 4) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ConfigError(
                f"CausalAttention got {heads} heads for {width} channels; it takes a number that divides them. Use 1."
            )
        self.norm, self.cache = nn.LayerNorm(width), AttentionCache(heads)
        self.qkv, self.output = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        for linear, std in ((self.qkv, 0.02), (self.output, 0.02 * (2 * layers) ** -0.5)):
            nn.init.normal_(linear.weight, std=std)

    def forward(self, x: Tensor) -> Tensor:
        """The branch, without its shortcut."""
        return self.output(self.cache(self.qkv(self.norm(x))))


SEQUENCE_MIXERS.add("attention", CausalAttention)
