"""A linear layer of coded weights that reads spikes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from spikedrive.errors import ShapeError
from spikedrive.neurons.gif import fire_off
from spikedrive.training.spikellm import grids
from spikedrive.training.spikellm.format import SCALE_BITS, AverageBits, Format
from spikedrive.training.spikellm.weights import QuantisedWeight


class Fired(NamedTuple):
    """The spikes of the channels that share a range.

    *Shapes*: spikes (S, ..., n) of whole numbers, scale and zero (..., 1), channels (n,).
    """

    spikes: Tensor
    scale: Tensor
    zero: Tensor
    channels: Tensor


class SpikingLinear(nn.Module):
    """A linear layer whose weights are codes and whose input is coded token by token into spikes.

    *Equation*, with c and z the scale and the zero point of a token, for its salient channels and for the others:

        code    q = clip(round(x / m / c) + z, 0, S (2^b - 1))     (S spikes of b bits; one for the others)
        spikes  q = s_1 + ... + s_S,  0 <= s_i <= 2^b - 1
        output  y = sum over both of c (W (s_1 + ... + s_S) - z sum of the columns of W that they meet) + bias

    m are SmoothQuant's factors, one a channel (1 without it), and W = (code - zero point) * scale per group of columns.
    `forward` computes W (q - z) c, which is the same up to rounding; `unrolled` adds spike by spike.

    *Shapes*: x (..., C) -> (..., O).
    *Units*: x as the layer that it stands for reads it.
    *Multiplies*: by m, c, and the weights' scales, once a token and channel each; c depends on the token, so that
    nothing folds it away. Codes of both meet in additions, but with real activations (`activation_bits=None`).
    *Raises*: ShapeError for an input of other channels.
    *Source*: SpikeLLM (arXiv 2407.04752). Its default mode has no spikes; its spiking modes multiply the raw input, or
    take z off over all columns. With `ranges="token"` the code has b + log2 S bits of the token's whole range, as
    there: codes that S spikes cannot hold are lost (`keep_top_codes` keeps them, as its default mode does). Otherwise
    salient channels have a range of their own, with S (2^b - 1) + 1 levels, which lose nothing.
    """

    codes: Tensor
    scale: Tensor
    zero: Tensor
    group: Tensor
    weight_spikes: Tensor
    single_channels: Tensor
    salient_channels: Tensor
    smooth: Tensor | None
    bias: Tensor | None
    real: Tensor | None

    def __init__(
        self,
        weight: QuantisedWeight,
        bias: Tensor | None,
        form: Format,
        *,
        salient: Tensor,
        smooth: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.form, self.keep_top_codes = form, False
        self.register_buffer("codes", weight.code)
        self.register_buffer("scale", weight.scale)
        self.register_buffer("zero", weight.zero)
        self.register_buffer("group", weight.group)
        self.register_buffer("weight_spikes", weight.spikes)
        self.register_buffer("single_channels", (~salient).nonzero().flatten())
        self.register_buffer("salient_channels", salient.nonzero().flatten())
        self.register_buffer("smooth", smooth)
        self.register_buffer("bias", bias)
        self.register_buffer("real", None)

    @classmethod
    def of_real_weight(
        cls, weight: Tensor, bias: Tensor | None, form: Format, salient: Tensor
    ) -> SpikingLinear:
        """The same with weights that are not coded, to look at the activations alone.

        *Shapes*: weight (O, C), bias (O,), salient (C,) bool.
        """
        rows, columns = weight.shape
        nothing = QuantisedWeight(
            torch.zeros(rows, columns, dtype=torch.uint8),
            torch.ones(rows, 1),
            torch.zeros(rows, 1),
            torch.zeros(columns, dtype=torch.int16),
            torch.ones(columns, dtype=torch.uint8),
        )
        layer = cls(nothing, bias, form, salient=salient)
        layer.real = weight
        return layer

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], form: Format) -> SpikingLinear:
        """The layer that a `state_dict` is of."""
        weight = QuantisedWeight(
            state["codes"], state["scale"], state["zero"], state["group"], state["weight_spikes"]
        )
        salient = torch.zeros(len(state["group"]), dtype=torch.bool)
        salient[state["salient_channels"]] = True
        return cls(weight, state.get("bias"), form, salient=salient, smooth=state.get("smooth"))

    @property
    def weight(self) -> Tensor:
        """What the codes stand for, in front of which the input is divided by `smooth`. Shape (O, C)."""
        if self.real is not None:
            return self.real
        group = self.group.long()
        return grids.values(self.codes.to(self.scale.dtype), self.scale[:, group], self.zero[:, group])

    def forward(self, x: Tensor) -> Tensor:
        """The output, from the sums of the spikes."""
        x = self._smoothed(x)
        if self.form.activation_bits is None:
            return linear(x, self.weight, self.bias)
        parts = self._coded(x)
        coded = torch.cat([grids.values(code, scale, zero) for _, code, scale, zero in parts], -1)
        back = torch.cat([channels for channels, *_ in parts]).argsort()
        return linear(coded[..., back], self.weight, self.bias)

    def fire(self, x: Tensor) -> list[Fired]:
        """The spikes: of channels that fire once, then of salient ones."""
        bits, fired = math.ceil(self.form.activation_bits or 0), []
        for channels, code, scale, zero in self._coded(self._smoothed(x)):
            spikes = self.form.activation_spikes if channels is self.salient_channels else 1
            fired.append(Fired(_fire_off(code, bits, spikes), scale, zero, channels))
        return fired

    def unrolled(self, x: Tensor) -> Tensor:
        """The output, spike by spike; the zero point is taken off over the columns that had it added."""
        weight = self.weight
        y = torch.zeros(*x.shape[:-1], len(weight), dtype=x.dtype)
        for spikes, scale, zero, channels in self.fire(x):
            columns = weight[:, channels]
            total = torch.zeros_like(y)
            for spike in spikes:
                total += linear(spike, columns)
            y += scale * (total - zero * columns.sum(1))
        return y if self.bias is None else y + self.bias

    def average_bits(self) -> AverageBits:
        """Bits a weight and an activation, with everything that has to be kept or sent to decode them.

        A weight has the bits of its spikes; each group has a scale (16 bits) and, unless ternary, a zero point; the
        group of a column and SmoothQuant's factors are counted where there are any. An activation has the bits of
        its spikes; a token has a scale and a zero point (16 bits each) for each range.
        """
        form, (rows, columns) = self.form, self.codes.shape
        groups = self.scale.shape[1]
        weight = form.bits_a_weight * float(self.weight_spikes.double().mean())
        most = form.weight_spikes * (2**form.weight_bits - 1)
        zero_bits = 0 if form.ternary else math.ceil(math.log2(most + 1) - 1e-9)
        weight += groups * (SCALE_BITS + zero_bits) / columns
        if groups > 1:
            weight += math.ceil(math.log2(groups)) / rows
        if self.smooth is not None:
            weight += SCALE_BITS / rows
        if form.activation_bits is None:
            return AverageBits(weight, 16.0, rows * columns, columns)
        share, spikes = len(self.salient_channels) / columns, form.activation_spikes
        ranges = 2 if form.ranges == "own" and 0 < share < 1 and spikes > 1 else 1
        activation = form.activation_bits * (1 - share + share * spikes) + ranges * 2 * SCALE_BITS / columns
        return AverageBits(weight, activation, rows * columns, columns)

    def extra_repr(self) -> str:
        """The shape and the format, for print(model)."""
        return f"{self.codes.shape[1]}, {self.codes.shape[0]}, {self.form.name}"

    def _smoothed(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.codes.shape[1]:
            raise ShapeError(
                f"SpikingLinear got x of shape {tuple(x.shape)}; its last axis must hold {self.codes.shape[1]} "
                "channels. Use the layer where the one stood that it was made of."
            )
        return x if self.smooth is None else x / self.smooth

    def _coded(self, x: Tensor) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """(channels, code, scale, zero point) of the channels with one spike, then of the salient ones."""
        bits, spikes = self.form.activation_bits, self.form.activation_spikes
        assert bits is not None
        # a fraction of a bit is a whole number of levels here, rounded up
        top = math.ceil(2**bits - 1e-9) - 1
        parts = []
        for channels, count in ((self.single_channels, 1), (self.salient_channels, spikes)):
            if not channels.numel():
                continue
            own = x[..., channels]
            if self.form.ranges == "own":
                tops = count * top
                scale, zero = grids.fit_affine(own, tops)
            else:
                tops = count * (top + 1) - 1
                scale, zero = grids.fit_affine(x, tops)
            code = grids.codes(own, scale, zero, tops)
            parts.append(
                (channels, code if self.keep_top_codes else code.clamp(max=count * top), scale, zero)
            )
        return parts


def _fire_off(code: Tensor, bits: int, spikes: int) -> Tensor:
    if spikes & (spikes - 1) == 0:
        return fire_off(code, bits, spikes.bit_length() - 1)
    fired: list[Tensor] = []
    for _ in range(spikes):
        fired.append(code.clamp(max=2**bits - 1))
        code = code - fired[-1]
    return torch.stack(fired)
