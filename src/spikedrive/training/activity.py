"""What a model's neurons do on real images: rates, rasters, attention maps and membrane histograms."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from spikedrive.data.transforms import normalise
from spikedrive.errors import ConfigError, DataError, ShapeError
from spikedrive.files import atomic_write
from spikedrive.neurons import Neuron
from spikedrive.ops.domain import Domain

BINS = 60
RASTER_UNITS = 256
# a fixed sample of units keeps the histograms of wide early layers as quick as those of late ones
HISTOGRAM_UNITS = 1024


class HasNeurons(Protocol):
    """A model that lists its neurons by module path, such as `SpikingModel`."""

    def neurons(self) -> dict[str, Neuron]:
        """Module path to neuron, in the order of the model."""
        ...


def record_activity(
    model: nn.Module,
    images: Tensor,
    labels: Tensor | Sequence[int],
    out: str | os.PathLike[str],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    chosen: int = 8,
    batch_size: int = 128,
) -> Path:
    """Write `activity.npz`: what every neuron of `model` receives and emits on `images`.

    The model runs in eval mode without gradients and is left in the mode in which it came. Rates, densities
    and histograms are over all images; rasters and attention maps are of `chosen` images, taken class by
    class in the order of the data set.

    *Shapes*: images uint8 (N, C, H, W), labels (N,). In the file, with L neuron layers, n chosen images and
    U = min(256, units of the layer):

    | key | holds |
    |---|---|
    | `layers` (L,) | module paths in the order of the model |
    | `firing_rate` (L,) | spikes per neuron per step; an integer s counts as s spikes |
    | `density` (L,) | share of non-zero outputs |
    | `levels`, `steps`, `units` (L,) | largest integer, steps T, neurons per image |
    | `images`, `image_labels`, `image_predictions`, `image_indices` | the chosen images |
    | `images_seen` () | N |
    | `class_names` (K,) | those in the model's metadata; empty where it has none |
    | `raster_<layer>` (T, n, U), `raster_units_<layer>` (U,) | integers of a fixed random sample of units |
    | `membrane_hist_<layer>` (60,), `membrane_edges_<layer>` (61,) | counts of what the neuron receives |
    | `membrane_tails_<layer>` (2,) | counts below the first and above the last edge |
    | `membrane_firing_<layer>` (levels,) | the input at which the neuron, at rest, starts to emit 1, 2, ... |
    | `attention_layers` (A,), `attention_<layer>` (n, H, W) | see `read_counts`; summed over steps |

    The histogram is of the neuron's input; where nothing is carried from step to step that is its membrane.
    It covers the 0.1 to 99.9 percentiles of the first batch, widened to hold zero and every firing input.
    *Units*: histogram edges and firing inputs in those of the membrane.
    *Raises*: ShapeError for images that are not (N, C, H, W); DataError for no images, or labels of another
    length; ConfigError for `chosen` below 1; DataError when a neuron receives NaN or infinity.
    """
    labels = torch.as_tensor(labels)
    _check(images, labels, chosen, batch_size)
    neurons = _neurons(model)
    indices = _one_per_class(labels, chosen)
    like = next((p for p in model.parameters()), torch.zeros(()))
    statistics = {path: _LayerStatistics(path, neuron) for path, neuron in neurons.items()}
    with _evaluating(model):
        with _hooked(neurons, lambda path, x, y: statistics[path].add(x, y)):
            for start in range(0, len(images), batch_size):
                model(normalise(images[start : start + batch_size].to(like.device), mean, std).to(like.dtype))
        outputs: dict[str, Tensor] = {}
        with _hooked(
            neurons, lambda path, x, y: outputs.__setitem__(path, _integers(neurons[path], y).cpu())
        ):
            logits = model(normalise(images[indices].to(like.device), mean, std).to(like.dtype))
    arrays: dict[str, Any] = {
        "layers": np.array(list(neurons)),
        "images": images[indices].cpu().numpy(),
        "image_labels": labels[indices].cpu().numpy(),
        "image_predictions": logits.argmax(-1).cpu().numpy(),
        "image_indices": np.array(indices),
        "images_seen": np.array(len(images)),
        "class_names": np.array(list(getattr(model, "metadata", {}).get("class_names", ())), dtype=str),
    }
    for key in ("firing_rate", "density", "levels", "steps", "units"):
        arrays[key] = np.array([getattr(s, key) for s in statistics.values()])
    for path, found in statistics.items():
        arrays |= found.histogram()
        arrays |= _raster(path, outputs[path])
    maps = _attention_maps(model, outputs)
    arrays["attention_layers"] = np.array(list(maps), dtype=str)
    arrays |= {f"attention_{path}": read.numpy() for path, read in maps.items()}
    with atomic_write(out) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)
    return Path(out)


def read_counts(q: Tensor, k: Tensor, v: Tensor, *, heads: int, variant: str) -> Tensor:
    """How strongly each token is read: its share of what attention adds up, in integer counts.

    Both forms of spike-driven attention sum integer products over the source token j, so the sum of all their
    outputs splits exactly into one count per source token. With i the reading token, and c, e channels:

    *Equation*:

        SDSA-3 (per head)   out_ie = sum_j sum_c q_ic k_jc v_je      read_j = sum_c (sum_i q_ic) k_jc (sum_e v_je)
        SDSA-1              out_ic = q_ic [ sum_j k_jc v_jc fires ]  read_j = sum_c (sum_i q_ic) k_jc v_jc

    SDSA-3 is counted before its scale and output neuron. SDSA-1 is counted before its neuron inside the
    brackets: a channel that stays below the threshold still counts, as does the unpooled key and value of the
    event-camera variant.

    *Shapes*: q, k (T, B, C, H, W), v (T, B, E, H, W) with C and E multiples of `heads` -> (T, B, H, W).
    *Raises*: ConfigError for another variant.
    """
    if variant not in ("sdsa1", "sdsa3"):
        raise ConfigError(
            f"read_counts got variant={variant!r}; it takes 'sdsa1' or 'sdsa3'. Give a new variant its own map."
        )
    # counts stay far below 2^53, so fp64 holds them exactly
    q, k, v = q.double(), k.double(), v.double()
    query = q.sum((-2, -1), keepdim=True)
    if variant == "sdsa1":
        return (query * k * v).sum(2)
    keys = (query * k).unflatten(2, (heads, -1)).sum(3)
    values = v.unflatten(2, (heads, -1)).sum(3)
    return (keys * values).sum(2)


def firing_inputs(neuron: Neuron, like: Tensor) -> Tensor:
    """The least input at which `neuron`, at rest, emits each of its values above the lowest.

    Found by bisection on the neuron itself, so it holds for every neuron whose output grows with its input.
    NaN stands for a value that no input below 2^20 reaches.

    *Shapes*: (domain.high - domain.low,), in the dtype and on the device of `like`.
    """
    domain = _domain(neuron)
    wanted = torch.arange(domain.low + 1, domain.high + 1, device=like.device)
    high = torch.full((len(wanted),), 2.0**20, dtype=like.dtype, device=like.device)
    low = -high

    def reaches(x: Tensor) -> Tensor:
        x = x.view(1, 1, -1)
        return _integers(neuron, neuron.scan(x, neuron.rest(x))[0]).flatten() >= wanted

    possible = reaches(high)
    middle = (low + high) / 2
    # until no number of this dtype lies between the ends
    while bool(((low < middle) & (middle < high)).any()):
        fires = reaches(middle)
        high, low = torch.where(fires, middle, high), torch.where(fires, low, middle)
        middle = (low + high) / 2
    return torch.where(possible, high, torch.full_like(high, float("nan")))


class _LayerStatistics:
    """Sums over all images of what one neuron layer receives and emits."""

    def __init__(self, path: str, neuron: Neuron) -> None:
        self.path, self.neuron = path, neuron
        self.domain = _domain(neuron)
        self.levels = self.domain.levels
        self.steps = self.units = 0
        self._spikes = self._active = self._outputs = 0
        self._sample: Tensor | None = None
        self._edges = torch.empty(0)
        self._firing = torch.empty(0)
        self._counts = torch.zeros(BINS, dtype=torch.int64)
        self._tails = torch.zeros(2, dtype=torch.int64)

    @property
    def firing_rate(self) -> float:
        return self._spikes / max(self._outputs, 1)

    @property
    def density(self) -> float:
        return self._active / max(self._outputs, 1)

    def add(self, x: Tensor, y: Tensor) -> None:
        received = x.flatten(2)
        if self._sample is None:
            self._sample = _sample_units(received.shape[-1], HISTOGRAM_UNITS).to(x.device)
        received = received[..., self._sample].flatten()
        # NaN and infinity survive a sum
        if not math.isfinite(float(received.sum())):
            raise DataError(
                f"The neuron {self.path!r} received NaN or infinity; activity is recorded of finite membranes only. "
                "Look for diverged weights or a broken image."
            )
        # one image's sum is exact in fp32, all of them together need fp64
        per_image = (y if self.domain.low >= 0 else y.abs()).flatten(2).sum(-1)
        self._spikes += round(float(per_image.double().sum()) / self.domain.scale)
        self._active += int(y.count_nonzero())
        self._outputs += y.numel()
        self.steps, self.units = y.shape[0], y[0, 0].numel()
        if not len(self._edges):
            self._firing = firing_inputs(self.neuron, received)
            self._edges = _edges(received, self._firing)
        low, high = float(self._edges[0]), float(self._edges[-1])
        below, above = int((received < low).sum()), int((received > high).sum())
        self._tails += torch.tensor([below, above])
        self._counts += torch.histc(received.float(), BINS, low, high).to(torch.int64).cpu()

    def histogram(self) -> dict[str, np.ndarray]:
        """The arrays of the file that describe the membrane."""
        return {
            f"membrane_hist_{self.path}": self._counts.numpy(),
            f"membrane_edges_{self.path}": self._edges.cpu().numpy(),
            f"membrane_tails_{self.path}": self._tails.numpy(),
            f"membrane_firing_{self.path}": self._firing.cpu().float().numpy(),
        }


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


@contextmanager
def _hooked(neurons: dict[str, Neuron], see: Any) -> Iterator[None]:
    def hook(path: str) -> Any:
        return lambda module, inputs, output: see(path, inputs[0].detach(), output.detach())

    handles = [neuron.register_forward_hook(hook(path)) for path, neuron in neurons.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _neurons(model: Any) -> dict[str, Neuron]:
    """Those that fire: one that emits real numbers has no spikes to record."""
    neurons = {path: neuron for path, neuron in model.neurons().items() if neuron.domain is not None}
    if not neurons:
        raise ConfigError(
            f"record_activity got a {type(model).__name__} without neurons that fire; it takes a spiking model. "
            "Build one with create_model."
        )
    return neurons


def _domain(neuron: Neuron) -> Domain:
    assert neuron.domain is not None, "only neurons that fire are recorded"
    return neuron.domain


def _integers(neuron: Neuron, y: Tensor) -> Tensor:
    """The integers behind a neuron's outputs; rounding undoes the inexact quotient by the scale only."""
    return (y / _domain(neuron).scale).round().to(torch.int32)


def _edges(received: Tensor, firing: Tensor) -> Tensor:
    ends = torch.quantile(
        received.double()[: 2**23], torch.tensor([0.001, 0.999]).double().to(received.device)
    )
    marks = torch.cat([ends, firing[firing.isfinite()].double(), torch.zeros(1).to(ends)])
    low, high = float(marks.min()), float(marks.max())
    # room beyond each end, so that no firing input lies on the frame of the figure; the half bin keeps the
    # most frequent value, an exact zero, off the edge between two bins when it is the lowest
    room = max((high - low) / (BINS - 4), 1e-6)
    return torch.linspace(low - 1.5 * room, high + 2.5 * room, BINS + 1)


def _sample_units(units: int, most: int) -> Tensor:
    if units <= most:
        return torch.arange(units)
    # not every k-th unit: with a stride near the image width that would be one column of the image
    return torch.from_numpy(np.sort(np.random.default_rng(0).choice(units, most, replace=False)))


def _raster(path: str, integers: Tensor) -> dict[str, np.ndarray]:
    flat = integers.flatten(2)
    units = _sample_units(flat.shape[-1], RASTER_UNITS)
    return {f"raster_{path}": flat[..., units].to(torch.int16).numpy(), f"raster_units_{path}": units.numpy()}


def _attention_maps(model: nn.Module, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    paths = {id(module): path for path, module in model.named_modules()}
    maps = {}
    module: Any
    for path, module in model.named_modules():
        parts = [getattr(module, name, None) for name in ("q_neuron", "k_neuron", "v_neuron")]
        if any(part is None for part in parts):
            continue
        q, k, v = (outputs[paths[id(part)]] for part in parts)
        maps[path] = read_counts(q, k, v, heads=module.heads, variant=module.variant).sum(0)
    return maps


def _one_per_class(labels: Tensor, count: int) -> list[int]:
    """`count` indices: the first image of each class, then the second of each, and so on."""
    by_class: dict[int, list[int]] = {}
    for index, label in enumerate(labels.tolist()):
        by_class.setdefault(label, []).append(index)
    queues = [by_class[label] for label in sorted(by_class)]
    rounds = (queue[turn] for turn in range(max(map(len, queues))) for queue in queues if turn < len(queue))
    return [index for index, _ in zip(rounds, range(count), strict=False)]


def _check(images: Tensor, labels: Tensor, chosen: int, batch_size: int) -> None:
    if images.dim() != 4 or images.dtype != torch.uint8:
        raise ShapeError(
            f"record_activity got images of shape {tuple(images.shape)} and dtype {images.dtype}; it takes uint8 "
            "(N, C, H, W). Pass ImageSet.images."
        )
    if len(images) == 0 or labels.shape != (len(images),):
        raise DataError(
            f"record_activity got {len(images)} images and labels of shape {tuple(labels.shape)}; it takes at least "
            "one image and one label for each. Pass both from the same ImageSet."
        )
    if chosen < 1 or batch_size < 1:
        raise ConfigError(
            f"record_activity got chosen={chosen} and batch_size={batch_size}; both take a whole number of at least 1."
            " Change them."
        )
