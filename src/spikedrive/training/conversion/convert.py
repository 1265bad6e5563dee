"""A trained artificial network becomes a spiking one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from spikedrive.blocks import SpikeMask
from spikedrive.errors import DtypeError, ShapeError, ValueRangeError, unknown_name
from spikedrive.neurons import QCFS, SignedIF
from spikedrive.neurons.neuron import check_count, check_number
from spikedrive.training.conversion.calibrate import Calibration, Place, Progress, calibrate, find_places
from spikedrive.training.conversion.ceilings import Method, check_method
from spikedrive.training.conversion.network import ConvertedNetwork, EachStep, OnOff, Unconverted, rounding
from spikedrive.training.conversion.operations import Operation, Weighted
from spikedrive.training.conversion.results import Conversion, Left
from spikedrive.training.conversion.trace import trace

Spikes = Literal["integer", "signed", "binary"]
"""Integers 0..T in one step, which are T binary steps layer by layer; or T steps of which a neuron fires in each:
-1, 0 and 1, or 0 and 1."""


def convert(
    ann: nn.Module,
    calibration: Tensor | Iterable[Tensor],
    *,
    steps: int = 32,
    method: Method = "qcfs",
    spikes: Spikes = "integer",
    percentile: float = 99.9,
    correct: bool = True,
    mask: float = 0.0,
    predict: Sequence[int] = (),
    progress: Progress | None = None,
) -> Conversion:
    """A spiking network with the weights of `ann`, and what is known of it before it runs.

    `ann` is any module that `torch.export` takes; it is left as it was. BatchNorm is folded; each ReLU, ReLU6 or clamp
    from 0 becomes a neuron; where a layer with weights would read a current (behind a linear bottleneck, say) a neuron
    of both signs stands between them. What commutes with a mean over steps stays as it is. Everything else stays too,
    is named in `left` with the reason, and works on the mean over the steps so far, so that the answer still tends to
    the artificial network's.

    | `spikes` | neuron | T steps are |
    |---|---|---|
    | "integer" | `ILIF` | one step of integers 0..T, the same as T binary steps a layer (`unroll`) |
    | "signed" | `SignedIF` | T steps of -1, 0 and 1: all layers at once, with spikes that take others back |
    | "binary" | `QCFS(spiking=True)` | T steps of 0 and 1: all layers at once |

    Between currents and layers "signed" and "binary" have the same neuron, `SignedIF(rectify=False)`.

    `method` chooses each ceiling (see `choose_ceiling`): "qcfs" for the smallest error in T levels, or threshold
    balancing by "percentile" or "max". `correct` shifts biases by what is left of the mean error. `mask` drops that
    share of all spikes at random, as the Masked Spiking Transformer does; a network should have been trained with it.
    `predict` names further numbers of steps to predict the cost of, each in one pass over the calibration data.

    *Shapes*: calibration (B, ...), or batches of it; the converted model takes the same.
    *Multiplies*: the first layer, which reads real numbers, and what `left` names.
    *Raises*: ConfigError for a network that cannot be converted, steps below 1, a percentile outside 0..100, a mask
    outside 0..1; UnknownNameError for another method or kind of spikes; ShapeError, DtypeError and ValueRangeError
    for calibration data that are too few, of another dtype, or not finite.
    *Source*: QCFS (arXiv 2303.04347); "A free lunch from ANN" (Li et al., ICML 2021), light pipeline; the Masked
    Spiking Transformer (ICCV 2023); Fast-SNN (arXiv 2305.19868) for negative spikes. Where we differ: one ceiling a
    layer, the start at half a threshold with every method, and integers as a form of their own.
    """
    _check(steps, method, spikes, percentile, mask, predict)
    images = _batch(calibration, next(ann.parameters(), torch.zeros(())).dtype)
    operations = trace(ann, images)
    found: dict[int, Calibration] = {}
    for count in sorted({steps, *predict}):
        found[count] = calibrate(
            operations, images, steps=count, method=method, percentile=percentile, correct=correct, mask=mask,
            progress=progress,
        )  # fmt: skip
    chosen = found[steps]
    with torch.no_grad():
        for operation in operations:
            if operation.name in chosen.corrections:
                assert isinstance(operation.module, Weighted)
                operation.module.bias.add_(chosen.corrections[operation.name])
    places = find_places(operations)
    return Conversion(
        _build(operations, places, chosen, steps, spikes, mask, images.shape[1:]),
        chosen.ceilings,
        tuple(layer for one in found.values() for layer in one.layers),
        tuple(one.cost for one in found.values() if one.cost is not None),
        tuple(Left(o.name, o.path, o.what, o.reason) for o in operations if o.reason),
    )


def _build(operations: Sequence[Operation], places: Sequence[Place], found: Calibration, steps: int, spikes: Spikes,
           mask: float, shape: Sequence[int]) -> ConvertedNetwork:  # fmt: skip
    layers: list[tuple[str, tuple[str, ...], nn.Module]] = []
    between: dict[str, list[Place]] = {}
    own = {place.name: place for place in places}
    for place in places:
        if place.signed:
            between.setdefault(place.source, []).append(place)
    shapes = {"input": tuple(shape), **found.shapes}
    for operation in operations:
        reads = operation.inputs
        if operation.kind == "weighted":
            reads = tuple(f"{name}_spikes" if f"{name}_spikes" in own else name for name in reads)
        if operation.kind == "activation":
            module = _neuron(own[operation.name], found.ceilings[operation.name], steps, spikes, mask)
        elif operation.kind == "other" and spikes != "integer":
            module = Unconverted(operation.module, [shapes[name] for name in reads])
        else:
            module = EachStep(operation.module)
        layers.append((operation.name, reads, module))
        for place in between.get(operation.name, ()):
            layers.append(
                (place.name, (place.source,), _neuron(place, found.ceilings[place.name], steps, spikes, mask))
            )
    return ConvertedNetwork(layers, steps=1 if spikes == "integer" else steps)


def _neuron(place: Place, ceiling: float, steps: int, spikes: Spikes, mask: float) -> nn.Module:
    if spikes == "integer":
        neuron = OnOff(steps, ceiling) if place.signed else rounding(steps, ceiling)
    elif spikes == "signed" or place.signed:
        neuron = SignedIF(ceiling, rectify=not place.signed, learn_ceiling=True)
    else:
        neuron = QCFS(steps, ceiling, spiking=True)
    return nn.Sequential(neuron, SpikeMask(mask)) if mask else neuron


def _check(
    steps: int, method: str, spikes: str, percentile: float, mask: float, predict: Sequence[int]
) -> None:
    check_method(method)
    if spikes not in get_args(Spikes):
        raise unknown_name("kind of spikes", spikes, get_args(Spikes))
    check_count("convert", "steps", steps)
    for count in predict:
        check_count("convert", "predict", count)
    check_number("convert", "percentile", percentile, above=0, high=100)
    check_number("convert", "mask", mask, low=0, high=1)


def _batch(calibration: Tensor | Iterable[Tensor], dtype: torch.dtype) -> Tensor:
    images = calibration if isinstance(calibration, Tensor) else torch.cat(list(calibration))
    if images.dim() < 2 or len(images) < 2:
        raise ShapeError(
            f"convert got calibration data of shape {tuple(images.shape)}; it takes (B, ...) with B of at least 2. "
            "Give some tens of samples of what the network will see."
        )
    if images.dtype != dtype:
        raise DtypeError(
            f"convert got calibration data of dtype {images.dtype}; it takes {dtype}, as the weights are. Convert them "
            f"with calibration.to({dtype})."
        )
    if not images.isfinite().all():
        raise ValueRangeError(
            "convert got calibration data with NaN or infinite values; it takes finite ones. Look for a division by "
            "zero where they are normalised."
        )
    return images
