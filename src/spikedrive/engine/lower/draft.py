"""Operations before their integers are known: real weights and thresholds, and the stream each value lies in."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch.nn.functional import conv2d

from spikedrive.engine.arithmetic import Conv2d, Embedding, Linear, Shift
from spikedrive.engine.ir import Neuron, Op
from spikedrive.engine.quantise import Stream, best_exponents, dequantise, to_integers, to_unit

THRESHOLD_BITS = 16
"""How many bits finer integers become at most, so that a threshold that is no power of two fits them."""


@dataclass(frozen=True)
class Unit:
    """What one unit of a value is worth: 2**exponent / divisor, its exponent known later where a stream has it.

    `averaged` counts the powers of two that means put into `offset`.
    """

    stream: Stream | None = None
    offset: int = 0
    divisor: int = 1
    averaged: int = 0

    def exponent(self, bits: int) -> int:
        """The exponent, once every operation is known."""
        return self.offset + (0 if self.stream is None else self.stream.exponent(bits))

    def times(self, power: int) -> Unit:
        """The unit of the same integers worth 2**power as much."""
        return replace(self, offset=self.offset + power)


@dataclass(eq=False)
class Draft:
    """One operation to be. `fields` are those of `kind`; `aligned` inputs are first shifted to its own unit.

    `high` is the largest magnitude where the value is one that a weight may meet, else None (a membrane).
    """

    kind: type[Op]
    name: str
    module: str
    inputs: tuple[Draft, ...]
    shape: tuple[int, ...]
    unit: Unit
    fields: dict[str, Any] = field(default_factory=dict)
    aligned: bool = False
    high: int | None = None
    raw: bool = False
    """Whether this is the image, whose normalisation the first layer takes in."""

    def emit(self, bits: int) -> list[Op]:
        """The operation, after the shifts that its inputs need."""
        ops: list[Op] = []
        target = self.unit.exponent(bits) if self.aligned else None
        names = tuple(_shifted(ops, self, i, target, bits) for i in range(len(self.inputs)))
        ops.append(self.kind(name=self.name, inputs=names, module=self.module, **self.fields))
        return ops


@dataclass(eq=False)
class WeightedDraft(Draft):
    """A convolution or linear layer: `weight` (K, ...) and `bias` real, in units of one input integer."""

    weight: np.ndarray = field(default_factory=lambda: np.empty(0))
    bias: np.ndarray = field(default_factory=lambda: np.empty(0))
    center: np.ndarray | None = None
    """The raw pixel that stands for zero (C,), or () for all: zero padding adds zeros, not raw pixels."""

    @property
    def rows(self) -> np.ndarray:
        """One row per output channel."""
        return self.weight.reshape(len(self.weight), -1)

    def write(self, bits: int) -> None:
        """Enter the stream."""
        stream, high = self.unit.stream, self.inputs[0].high
        assert stream is not None and high is not None
        used = np.abs(self.rows).max(axis=1, initial=0.0) > 0
        stream.write(best_exponents(self.rows[used], bits), high.bit_length() - 1)

    def emit(self, bits: int) -> list[Op]:
        """The operation with its integers."""
        exponent = self.unit.exponent(bits)
        exponents = np.maximum(best_exponents(self.rows, bits), exponent)
        weight = to_integers(self.weight, exponents, bits)
        bias = to_unit(self._bias(dequantise(weight, exponents)), exponent, self.unit.divisor)
        if self.kind is Conv2d:
            bias = bias.reshape(len(bias), 1, 1) if bias.ndim == 1 else bias
            bias = bias[:, :1, :1] if (bias == bias[:, :1, :1]).all() else bias
        shift = (exponents - exponent).astype(np.int8)
        fields = {**self.fields, "weight": weight, "shift": shift, "bias": bias, "exponent": exponent}
        return [self.kind(name=self.name, inputs=(self.inputs[0].name,), module=self.module, **fields)]

    def _bias(self, weight: np.ndarray) -> np.ndarray:
        """The bias less what the dequantised weight gives for `center`, by position where a border cuts it."""
        if self.center is None:
            return self.bias
        if self.kind is Linear:
            return self.bias - weight.sum(axis=1) * self.center
        image = np.broadcast_to(self.center[:, None, None], self.inputs[0].shape).copy()
        geometry = {key: self.fields[key] for key in ("stride", "padding", "dilation", "groups")}
        of_center = conv2d(torch.from_numpy(image)[None], torch.from_numpy(weight), **geometry)[0]
        return self.bias[:, None, None] - of_center.numpy()


@dataclass(eq=False)
class TableDraft(Draft):
    """An embedding: `table` (N, D) of real numbers, each column with a power of two of its own."""

    table: np.ndarray = field(default_factory=lambda: np.empty(0))

    def write(self, bits: int) -> None:
        """Enter the stream."""
        assert self.unit.stream is not None
        used = np.abs(self.table).max(axis=0, initial=0.0) > 0
        self.unit.stream.write(best_exponents(self.table.T[used], bits), 0)

    def emit(self, bits: int) -> list[Op]:
        """The operation with its integers."""
        exponent = self.unit.exponent(bits)
        exponents = np.maximum(best_exponents(self.table.T, bits), exponent)
        weight = np.ascontiguousarray(to_integers(self.table.T, exponents, bits).T)
        shift = (exponents - exponent).astype(np.int8)
        return [Embedding(name=self.name, inputs=(self.inputs[0].name,), module=self.module, weight=weight, shift=shift,
                          exponent=exponent)]  # fmt: skip


@dataclass(eq=False)
class NeuronDraft(Draft):
    """A neuron: `threshold` and `rest` real, `fires_at` the multiples of half a threshold at which each level starts.

    A level starts at h >= multiple * threshold / 2, or at h > where its flag `above` is set.
    """

    threshold: float = 1.0
    rest: float = 0.0
    fires_at: tuple[tuple[int, bool], ...] = ()

    def emit(self, bits: int) -> list[Op]:
        """The operation with its ladder of integers."""
        if self._forgets():
            return [self._exact(bits)]
        ops: list[Op] = []
        source = self.inputs[0].unit
        exponent = source.exponent(bits)
        while exponent > source.exponent(bits) - THRESHOLD_BITS and not self._fits(exponent, source.divisor):
            exponent -= 1
        if source.stream is not None:
            # a stream is fine enough for any threshold
            exponent = source.exponent(bits)
        name = _shifted(ops, self, 0, exponent, bits)
        fraction = self.fields["fraction"]
        threshold, rest = (
            int(to_unit(np.array(real), exponent, source.divisor)) << fraction
            for real in (self.threshold, self.rest)
        )
        # h >= m t / 2 is h >= ceil(m t / 2) for integers, h > m t / 2 is h >= floor(m t / 2) + 1
        ladder = tuple(
            m * threshold // 2 + 1 if above else -(-m * threshold // 2) for m, above in self.fires_at
        )
        ops.append(
            Neuron(name=self.name, inputs=(name,), module=self.module, ladder=ladder, threshold=threshold, rest=rest,
                   exponent=self.unit.offset, **self.fields)
        )  # fmt: skip
        return ops

    def _forgets(self) -> bool:
        """Whether every charge starts from zero, so that no reset is ever seen."""
        return not self.fields["carry"] and self.fields["repeats"] == 1 and self.rest == 0.0

    def _exact(self, bits: int) -> Neuron:
        """The ladder of a neuron that forgets: its real thresholds, rounded up to the integers that reach them."""
        source = self.inputs[0].unit
        threshold = Fraction(self.threshold) * source.divisor / Fraction(2) ** source.exponent(bits)
        rungs = [(m * threshold / 2, above) for m, above in self.fires_at]
        ladder = tuple(math.floor(rung) + 1 if above else math.ceil(rung) for rung, above in rungs)
        return Neuron(
            name=self.name, inputs=(self.inputs[0].name,), module=self.module, ladder=ladder,
            threshold=math.ceil(threshold), rest=0, exponent=self.unit.offset, **self.fields,
        )  # fmt: skip

    def _fits(self, exponent: int, divisor: int) -> bool:
        scaled = [math.ldexp(v * divisor, -exponent) for v in (self.threshold, self.rest)]
        return all(v == round(v) for v in scaled)


def _shifted(ops: list[Op], draft: Draft, index: int, target: int | None, bits: int) -> str:
    """The name of an input in units of 2**target, shifted where it has coarser ones."""
    source = draft.inputs[index]
    left = 0 if target is None else source.unit.exponent(bits) - target
    if left == 0:
        return source.name
    shifted = Shift(name=f"{draft.name}.shift{index}", inputs=(source.name,), module=draft.module, left=left)
    ops.append(shifted)
    return shifted.name
