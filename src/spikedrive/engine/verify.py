"""The program against its twin, integer by integer, and against the trained model."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikedrive.data.transforms import normalise
from spikedrive.engine.runtime import Program
from spikedrive.engine.twin import Twin, with_steps
from spikedrive.errors import ShapeError
from spikedrive.files import atomic_write

ROUNDING = 1e-6
"""How far a logit of the twin may be from a whole unit: a mean over steps divides, which rounds in fp64."""


@dataclass(frozen=True)
class Layer:
    """One operation's bounds in integer units, and how many bits hold them."""

    module: str
    operation: str
    low: int
    high: int
    peak: int
    bits: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Verification:
    """What `verify` found; `save` writes all but the arrays.

    *Units*: accuracies and agreement are shares 0..1, `points_lost` percentage points, `seconds` wall clock.
    Accuracies are None without labels.
    """

    model: str
    source: str
    weight_bits: int
    images: int
    equal: bool
    """Whether every integer of every neuron and every logit is the same."""
    neurons: int
    integers: int
    unequal: int
    unequal_neurons: dict[str, int]
    logits_equal: bool
    agreement: float
    accuracy_fp32: float | None
    accuracy_program: float | None
    points_lost: float | None
    seconds: dict[str, float]
    bounds: list[Layer]
    logits_program: np.ndarray = field(repr=False, metadata={"array": True})
    predictions_program: np.ndarray = field(repr=False, metadata={"array": True})
    predictions_fp32: np.ndarray = field(repr=False, metadata={"array": True})

    def to_dict(self) -> dict[str, Any]:
        """Everything but the arrays."""
        kept = [f.name for f in dataclasses.fields(self) if not f.metadata.get("array")]
        return {
            **{name: getattr(self, name) for name in kept},
            "bounds": [dataclasses.asdict(b) for b in self.bounds],
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON; the file is whole or untouched. Raises: StorageError."""
        text = json.dumps(self.to_dict(), indent=1)
        with atomic_write(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")


def verify(
    program: Program,
    model: nn.Module,
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray | None = None,
    *,
    batch: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verification:
    """Compare every neuron's integers and the logits on every image with the fp64 twin of `model`.

    `model` is the one that `program` was compiled from, trained or fused; its own answers in its own dtype stand
    beside. `progress` is called with the number of images done.

    *Shapes*: images (B, C, H, W) or (T, B, C, H, W) uint8, labels (B,).
    *Raises*: ShapeError, DtypeError for other images; LoweringError where the program is not the model's.
    """
    pixels = torch.as_tensor(images)
    axis = 1 if program.input.steps > 1 else 0
    count = pixels.shape[axis] if pixels.dim() > axis else 0
    if (labels is not None and len(labels) != count) or count == 0:
        raise ShapeError(f"verify got {count} images and {'no' if labels is None else len(labels)} labels; it takes at "
                         "least one image and a label for each, or no labels. Pass both of the same set.")  # fmt: skip
    twin, reference = Twin(program, model), copy.deepcopy(model).eval()
    seconds = {"program": 0.0, "twin": 0.0, "fp32": 0.0}
    unequal = dict.fromkeys(program.neurons, 0)
    compared, logits_equal = 0, True
    logits: list[np.ndarray] = []
    answers: list[np.ndarray] = []
    for part in pixels.split(batch or program.batch, axis):
        mine = _timed(seconds, "program", lambda part=part: program.run(part.numpy(), neurons=True))
        its = _timed(seconds, "twin", lambda part=part: twin(part))
        for path, integers in mine.neurons.items():
            unequal[path] += int((its.neurons[path].numpy() != integers).sum())
            compared += integers.size
        logits_equal &= _same(mine.logits_int, its.logits.numpy())
        logits.append(mine.logits_int)
        answers.append(_timed(seconds, "fp32", lambda part=part: _answers(reference, part, program)))
        if progress is not None:
            progress(sum(map(len, logits)))
    scores, predictions = np.concatenate(logits), np.concatenate(answers)
    chosen = scores.argmax(axis=1)
    accuracies = (
        [None, None]
        if labels is None
        else [float((p == np.asarray(labels)).mean()) for p in (predictions, chosen)]
    )
    total = sum(unequal.values())
    return Verification(
        model=program.meta.model, source=program.meta.source, weight_bits=program.meta.weight_bits, images=count,
        equal=total == 0 and logits_equal, neurons=len(unequal), integers=compared, unequal=total,
        unequal_neurons={path: n for path, n in unequal.items() if n}, logits_equal=logits_equal,
        agreement=float((predictions == chosen).mean()), accuracy_fp32=accuracies[0], accuracy_program=accuracies[1],
        points_lost=None if accuracies[0] is None or accuracies[1] is None else 100 * (accuracies[0] - accuracies[1]),
        seconds=seconds, bounds=[_layer(program, op) for op in program.ops],
        logits_program=scores, predictions_program=chosen, predictions_fp32=predictions,
    )  # fmt: skip


def _timed(seconds: dict[str, float], name: str, call: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    result = call()
    seconds[name] += time.perf_counter() - start
    return result


def _same(integers: np.ndarray, twin: np.ndarray) -> bool:
    off_grid = np.abs(twin - np.round(twin)) > ROUNDING * np.maximum(1, np.abs(twin))
    return bool((np.round(twin) == integers).all() and not off_grid.any())


@torch.no_grad()
def _answers(model: nn.Module, images: Tensor, program: Program) -> np.ndarray:
    images = with_steps(program, model, images)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    x = (
        images.long()
        if program.takes_tokens
        else normalise(images, program.meta.mean, program.meta.std).to(dtype)
    )
    logits = model(x)
    return logits.flatten(0, -2).argmax(1).numpy()


def _layer(program: Program, op: Any) -> Layer:
    value = program.values[op.name]
    bits = max(value.peak, value.magnitude).bit_length() + (value.low < 0)
    return Layer(op.module, type(op).__name__, value.low, value.high, value.peak, bits)
