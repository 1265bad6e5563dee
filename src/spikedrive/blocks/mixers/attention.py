"""Spike-driven self-attention in its named variants.

Suffixes: T steps, B batch, C channels, G heads, D channels of a head, L tokens (H W).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks.neuron import NeuronLike, make_neuron
from spikedrive.errors import ConfigError, unknown_name
from spikedrive.neurons.neuron import check_count, check_number
from spikedrive.ops.fold import over_time

Variant = Literal["sdsa1", "sdsa3"]


class SpikeAttention(nn.Module):
    """Attention whose every product is of two neurons' integers: the branch of a membrane shortcut.

    s = N(x); q, k, v = N(projection(s)); then, per head,

    *Equation*: sdsa1: z = q * N(sum over tokens of k * v), elementwise, and y = proj(z)
                sdsa3: z = N(scale q (k^T v)),                            and y = proj(z)

    The last neuron is `last`, or another `neuron`, with `threshold` times its own threshold and `gain` times its own
    output. v has `value_ratio` times the channels of q and k. `pool` (sdsa1 only) widens k, v, the products k * v and z
    by a 3 x 3 maximum; the last two over the plane of head channels and tokens. `joint` projects q, k and v by one
    chain of their joint width, which with RepConv shares its first two convolutions. With `neuron_last` the first
    neuron stands at the end instead: the branch of a SEW shortcut, x being spikes.

    *Shapes*: x (T, B, C, H, W) -> (T, B, C, H, W).
    *Multiplies*: integer by integer only, executed as additions; `scale` must be a power of two: it is one shift,
    and folds into the threshold.
    *Raises*: UnknownNameError for another variant; ConfigError where heads do not divide the channels, the scale is
    no power of two, or a variant gets an argument that it has no use for.
    *Source*: sdsa1: Spike-driven Transformer (arXiv 2307.01694), equation 11; `pool` is its code's DVS mode, whose
    pooling over (tokens x head channels) looks unintended and is kept. sdsa3: Spike-driven Transformer V2
    (arXiv 2404.03663), scale 1/8 whatever the width of a head; `value_ratio` is V3's (arXiv 2411.16061), `gain`
    QSD-Transformer's (arXiv 2501.13492); with `neuron_last` it is the spiking self-attention of Spikformer
    (arXiv 2209.15425), equations 5 to 8.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        *,
        variant: Variant,
        projection: Callable[[int, int], nn.Module],
        output: Callable[[int, int], nn.Module] | None = None,
        neuron: NeuronLike = "LIF",
        last: NeuronLike | None = None,
        threshold: float = 0.5,
        gain: float = 1.0,
        scale: float = 1.0,
        value_ratio: int = 1,
        pool: bool = False,
        joint: bool = False,
        neuron_last: bool = False,
    ) -> None:
        super().__init__()
        if variant not in ("sdsa1", "sdsa3"):
            raise unknown_name("attention variant", variant, ("sdsa1", "sdsa3"))
        if heads < 1 or channels % heads:
            raise ConfigError(
                f"SpikeAttention got heads={heads} for {channels} channels; it takes a divisor. Change heads or width."
            )
        check_number("SpikeAttention", "scale", scale, above=0)
        if float(scale).hex().rsplit("p")[0] != "0x1.0000000000000":
            raise ConfigError(
                f"SpikeAttention got scale={scale}; it takes a power of two, which is a shift. "
                "Fold another factor into threshold."
            )
        check_count("SpikeAttention", "value_ratio", value_ratio)
        if (variant == "sdsa1" and (scale != 1.0 or value_ratio != 1)) or (variant == "sdsa3" and pool):
            raise ConfigError(
                f"SpikeAttention {variant} got scale={scale}, value_ratio={value_ratio}, pool={pool}; sdsa1 has no "
                "scale and no value_ratio, sdsa3 no pool. Leave it out."
            )
        self.heads, self.variant, self.scale, self.pool, self.joint = (
            heads,
            variant,
            float(scale),
            pool,
            joint,
        )
        self.widths = (channels, channels, channels * value_ratio)
        self.in_neuron = nn.Identity() if neuron_last else make_neuron(neuron)
        if joint:
            self.qkv = projection(channels, sum(self.widths))
        else:
            self.q, self.k, self.v = (projection(channels, width) for width in self.widths)
        self.q_neuron, self.k_neuron, self.v_neuron = (make_neuron(neuron) for _ in range(3))
        self.out_neuron = make_neuron(neuron if last is None else last, threshold=threshold, gain=gain)
        self.proj = (output or projection)(self.widths[2], channels)
        self.end_neuron = make_neuron(neuron) if neuron_last else nn.Identity()

    def forward(self, x_TBCHW: Tensor) -> Tensor:
        """The branch, without its shortcut."""
        s = self.in_neuron(x_TBCHW)
        if self.joint:
            q, k, v = over_time(self.qkv, s).split(self.widths, 2)
        else:
            q, k, v = over_time(self.q, s), over_time(self.k, s), over_time(self.v, s)
        q, k, v = self.q_neuron(q), self.k_neuron(k), self.v_neuron(v)
        z = self._sdsa1(q, k, v) if self.variant == "sdsa1" else self._sdsa3(q, k, v)
        return self.end_neuron(over_time(self.proj, z))

    def _sdsa1(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.pool:
            k, v = over_time(_widen, k), over_time(_widen, v)
        kv = k * v
        if self.pool:
            kv = self._widen_heads(kv)
        z = q * self.out_neuron(kv.sum((3, 4), keepdim=True))
        return self._widen_heads(z) if self.pool else z

    def _sdsa3(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q_TBGDL, k_TBGDL, v_TBGDL = self._split(q), self._split(k), self._split(v)
        # (q (k^T v))^T with channels before tokens, so that nothing is transposed back
        z_TBGDL = (v_TBGDL @ k_TBGDL.transpose(-1, -2)) @ q_TBGDL
        return self.out_neuron(self._merge(z_TBGDL, q) * self.scale)

    def _split(self, x_TBCHW: Tensor) -> Tensor:
        return x_TBCHW.flatten(3).unflatten(2, (self.heads, -1))

    def _merge(self, x_TBGDL: Tensor, like_TBCHW: Tensor) -> Tensor:
        return x_TBGDL.flatten(2, 3).unflatten(3, like_TBCHW.shape[3:])

    def _widen_heads(self, x_TBCHW: Tensor) -> Tensor:
        return self._merge(over_time(_widen, self._split(x_TBCHW)), x_TBCHW)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"variant={self.variant}, heads={self.heads}, scale={self.scale:g}, pool={self.pool}"


def _widen(x: Tensor) -> Tensor:
    # max_pool2d takes one batch axis; head-split maps have two, and pool each head by itself
    heads = x.flatten(0, -4) if x.dim() > 4 else x
    return F.max_pool2d(heads, 3, 1, 1).view_as(x)
