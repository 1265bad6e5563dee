"""The dense twin of a Meta-SpikeFormer: ReLU for neurons, softmax attention, one step; and its 8-bit form."""

from __future__ import annotations

import copy
import warnings
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks import MLP, SepConv, SpikeAttention
from spikedrive.errors import ConfigError
from spikedrive.models.metaformers.meta_spikeformer import MetaSpikeformer

INT8_ENGINES = ("x86", "onednn")


class AnnTwin(nn.Module):
    """The convolutions of a folded or fused model with ReLU where its neurons stand in front of them.

    Attention is F.scaled_dot_product_attention of what the projections give: no ReLU stands behind these.

    *Shapes*: x (B, C, H, W) -> (B, K).
    *Raises*: ConfigError for another family.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if not isinstance(model, MetaSpikeformer):
            raise ConfigError(
                f"A dense twin was asked of a {type(model).__name__}; it is written for Meta-SpikeFormers. Measure "
                "this one against fp32."
            )
        # its stages are known as modules only
        copied: Any = copy.deepcopy(model)
        layers: list[nn.Module] = []
        for place, stage in enumerate(copied.stages):
            layers += [*([nn.ReLU()] if place else []), stage.downsample.project]
            parts = chain.from_iterable(block.children() for block in stage.blocks)
            layers += [_Residual(_branch(part)) for part in parts if isinstance(part, _BRANCHES)]
        self.layers = nn.Sequential(*layers)
        self.relu = nn.ReLU()
        self.head = copied.head.linear

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.head(self.relu(self.layers(x).mean((2, 3))))


_BRANCHES = (SepConv, MLP, SpikeAttention)


def _branch(part: nn.Module) -> nn.Module:
    if isinstance(part, SpikeAttention):
        return _Attention(part)
    if isinstance(part, MLP):
        return nn.Sequential(nn.ReLU(), part.expand, nn.ReLU(), part.reduce)
    assert isinstance(part, SepConv)
    behind = [nn.ReLU(), part.reduce] if part.spiking else []
    return nn.Sequential(nn.ReLU(), part.expand, nn.ReLU(), part.mix, *behind)


class _Residual(nn.Module):
    """x + branch(x)."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class _Attention(nn.Module):
    """Softmax attention on the projections of a spiking one."""

    def __init__(self, part: SpikeAttention) -> None:
        super().__init__()
        self.heads, self.joint = part.heads, part.joint
        self.relu = nn.ReLU()
        if part.joint:
            self.qkv = part.qkv
        else:
            self.q, self.k, self.v = part.q, part.k, part.v
        self.proj = part.proj

    def forward(self, x: Tensor) -> Tensor:
        s = self.relu(x)
        q, k, v = self.qkv(s).chunk(3, 1) if self.joint else (self.q(s), self.k(s), self.v(s))
        z = F.scaled_dot_product_attention(self._split(q), self._split(k), self._split(v))
        return self.proj(z.transpose(-1, -2).reshape(x.shape))

    def _split(self, x: Tensor) -> Tensor:
        """(B, C, H, W) as (B, heads, tokens, channels of a head)."""
        return x.flatten(2).unflatten(1, (self.heads, -1)).transpose(-1, -2)


def int8(twin: AnnTwin, x: Tensor, engine: str) -> nn.Module:
    """The twin with static 8-bit weights and activations, their ranges from x; attention itself stays fp32.

    By PyTorch's own graph-mode quantisation for x86 processors.
    """
    before = torch.backends.quantized.engine
    with warnings.catch_warnings():
        # PyTorch moves this part into a package of its own, and says so at every call
        warnings.simplefilter("ignore")
        from torch.ao.quantization import get_default_qconfig_mapping
        from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

        prepared = prepare_fx(copy.deepcopy(twin).eval(), get_default_qconfig_mapping("x86"), (x,))
        with torch.no_grad():
            prepared(x)
        # it decides how weights are packed, and packed weights know theirs
        torch.backends.quantized.engine = engine
        try:
            return convert_fx(prepared)
        finally:
            torch.backends.quantized.engine = before
