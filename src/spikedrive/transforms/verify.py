"""The integer network against its binary steps, neuron by neuron."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from spikedrive.errors import ShapeError, UnrollError
from spikedrive.neurons import Neuron
from spikedrive.state import plain_path
from spikedrive.transforms.spikes import Spikes
from spikedrive.transforms.unroll import Operation, Unrolled, unroll


@dataclass(frozen=True)
class Difference:
    """Where the two first differ: the first neuron in order of firing, its first sample and place, both integers.

    *Units*: `membrane` is the input of the integer neuron there divided by its threshold, for a neuron that has one
    and carries no membrane; else None.
    """

    neuron: str
    sample: int
    place: tuple[int, ...]
    integer: int
    substeps: int
    membrane: float | None


@dataclass(frozen=True)
class NeuronRow:
    """One neuron: its sub-steps, how many integers were compared and how many differ."""

    neuron: str
    substeps: int
    compared: int
    differing: int


@dataclass(frozen=True)
class Comparison:
    """The comparison in one precision; neurons in the order in which they fire.

    `output_equal` is equality to the bit, `output_change` the largest difference of the two answers, absolute.
    """

    dtype: str
    neurons: tuple[NeuronRow, ...]
    first: Difference | None
    output_equal: bool
    output_change: float

    @property
    def compared(self) -> int:
        """How many integers were compared."""
        return sum(row.compared for row in self.neurons)

    @property
    def differing(self) -> int:
        """How many of them differ."""
        return sum(row.differing for row in self.neurons)


@dataclass(frozen=True)
class UnrollReport:
    """What `verify_unrolled` found: the proof in fp64, and what the model's own precision makes of it.

    `equal` says that every integer of every neuron is the sum of its sub-steps in fp64. `rounded` holds the same
    comparison in the model's own precision, None where that is fp64: whatever differs there alone is rounding.
    """

    model: str
    samples: int
    exact: Comparison
    rounded: Comparison | None

    @property
    def equal(self) -> bool:
        """Whether no integer differs in fp64."""
        return self.exact.differing == 0

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings."""
        return {**dataclasses.asdict(self), "equal": self.equal}

    def text(self) -> str:
        """The findings for a terminal."""
        verdict = "equal" if self.equal else "NOT equal"
        lines = [f"{self.model}: {verdict} to its binary steps on {self.samples} samples, neuron by neuron"]
        for one in (self.exact, self.rounded):
            if one is not None:
                lines += ["", *_lines(one, rounding=one is self.rounded and self.equal)]
        return "\n".join(lines)

    __str__ = text


@torch.no_grad()
def verify_unrolled(
    model: nn.Module,
    data: Tensor | tuple[Tensor, ...],
    *,
    unrolled: Unrolled | None = None,
    batch_axis: int | None = None,
    batch: int = 64,
) -> UnrollReport:
    """Compare every integer neuron of `model` with the sum of its binary sub-steps, on every sample of `data`.

    Both run on their own, in fp64 and in the model's precision, so that a first difference is carried on. `unrolled`
    is what `unroll(model)` gave, and is made here without it. `batch` samples run at a time.

    *Shapes*: data as the model takes it, (B, ...) or (T, B, ...).
    *Raises*: UnrollError for a model that cannot be unrolled, or an unrolled network of another model; ShapeError
    for data without a sample.
    """
    given = tuple(data) if isinstance(data, (tuple, list)) else (data,)
    precise = copy.deepcopy(model).double().eval()
    made = unroll(precise, _to(given, torch.float64), batch_axis=batch_axis) if unrolled is None else unrolled
    axis = made.batch_axis
    samples = given[0].shape[axis] if given[0].dim() > axis else 0
    if samples == 0:
        raise ShapeError(
            f"verify_unrolled got data of shape {tuple(given[0].shape)}, which has no sample along axis {axis}; it "
            "takes inputs as the model takes them. Give at least one."
        )
    exact = _compare(precise, copy.deepcopy(made).double(), _to(given, torch.float64), axis, batch)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), given[0].dtype)
    rounded = None
    if dtype is not torch.float64:
        made = unroll(model, given, batch_axis=batch_axis) if unrolled is None else unrolled
        rounded = _compare(copy.deepcopy(model).eval(), made, given, axis, batch)
    card = getattr(model, "card", None)
    return UnrollReport(getattr(card, "name", None) or type(model).__name__, int(samples), exact, rounded)


def _to(data: tuple[Tensor, ...], dtype: torch.dtype) -> tuple[Tensor, ...]:
    return tuple(x.to(dtype) if x.is_floating_point() else x for x in data)


def _compare(
    model: nn.Module, unrolled: Unrolled, data: tuple[Tensor, ...], axis: int, batch: int
) -> Comparison:
    size = batch if unrolled.any_batch else int(data[0].shape[axis])
    record = _Record(model, unrolled)
    equal, change = True, 0.0
    try:
        for start in range(0, int(data[0].shape[axis]), size):
            chunk = tuple(x.narrow(axis, start, min(size, x.shape[axis] - start)) for x in data)
            record.begin(start)
            answers = _flat(model(*chunk))
            for mine, its in zip(answers, _flat(unrolled(*chunk)), strict=True):
                equal &= torch.equal(mine, its)
                change = max(change, float((mine - its).abs().amax()))
    finally:
        record.close()
    dtype = str(data[0].dtype).removeprefix("torch.")
    return Comparison(dtype, record.rows(), record.first, equal, change)


def _flat(answer: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(answer) if isinstance(leaf, Tensor)]


class _Record:
    """What the neurons of both emit, watched where they are called."""

    def __init__(self, model: nn.Module, unrolled: Unrolled) -> None:
        self._firsts: dict[str, Difference] = {}
        self._start, self._seen = 0, Counter[str]()
        self._calls: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self._compared, self._differing = Counter[str](), Counter[str]()
        self._levels: dict[str, int] = {}
        self._neurons = {plain_path(p): m for p, m in model.named_modules() if isinstance(m, Neuron)}
        self._handles = [m.register_forward_hook(self._keep(p)) for p, m in self._neurons.items()]
        self._handles += [
            m.register_forward_hook(self._check)
            for m in unrolled.modules() if isinstance(m, Operation) and m.levels
        ]  # fmt: skip

    def begin(self, start: int) -> None:
        """The next chunk of samples."""
        self._start, self._calls = start, {}
        self._seen.clear()

    def close(self) -> None:
        """Watch no longer."""
        for handle in self._handles:
            handle.remove()

    def rows(self) -> tuple[NeuronRow, ...]:
        """The counts of each neuron."""
        return tuple(
            NeuronRow(path, self._levels[path], count, self._differing[path])
            for path, count in self._compared.items()
        )

    @property
    def first(self) -> Difference | None:
        """The first difference of the neuron that fires first among those that differ."""
        return next((self._firsts[path] for path in self._compared if path in self._firsts), None)

    def _keep(self, path: str) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            self._calls.setdefault(path, []).append((inputs[0], output))

        return hook

    def _check(self, operation: nn.Module, _inputs: Any, output: Any) -> None:
        assert isinstance(operation, Operation)
        path, spikes = operation.source, output[0]
        if not isinstance(spikes, Spikes):
            return
        calls, call = self._calls.get(path, []), self._seen[path]
        self._seen[path] += 1
        if call >= len(calls) or calls[call][1].shape != spikes.stack.shape[1:]:
            raise UnrollError(
                f"The unrolled network fires in {path or '(the model itself)'!r}, where {len(calls)} calls of a neuron "
                "of that shape were seen in the model; verify_unrolled takes what unroll gave for this model, whose "
                "neurons are modules. Unroll this model."
            )
        x, y = calls[call]
        integers, count = (y / spikes.unit).round().to(torch.int64), spikes.count()
        wrong = integers != count
        self._levels[path] = spikes.levels
        self._compared[path] += wrong.numel()
        self._differing[path] += int(wrong.sum())
        if path not in self._firsts and bool(wrong.any()):
            self._firsts[path] = self._located(path, x, integers, count, wrong)

    def _located(self, path: str, x: Tensor, integers: Tensor, count: Tensor, wrong: Tensor) -> Difference:
        place = tuple(int(i) for i in wrong.nonzero()[0])
        neuron = self._neurons[path]
        threshold = getattr(neuron, "threshold", None)
        membrane = None
        if isinstance(threshold, float) and not getattr(neuron, "carry", True):
            membrane = float(x[place]) / threshold
        # neurons have the batch along axis 1
        return Difference(
            path, self._start + place[1], place, int(integers[place]), int(count[place]), membrane
        )


def _lines(one: Comparison, *, rounding: bool) -> list[str]:
    by = " by rounding" if rounding and one.differing else ""
    answer = "the same to the bit" if one.output_equal else f"changed by at most {one.output_change:.3g}"
    lines = [
        f"{one.dtype}: {one.differing} of {one.compared} integers of {len(one.neurons)} neurons differ{by}; "
        f"the answer is {answer}"
    ]
    wrong = [row for row in one.neurons if row.differing]
    width = max((len(row.neuron) for row in wrong), default=0)
    lines += [
        f"  {row.neuron.ljust(width)}  {row.substeps} sub-steps: {row.differing} of {row.compared} differ"
        for row in wrong
    ]
    if one.first is not None:
        at = one.first
        near = "" if at.membrane is None else f", membrane {at.membrane!r} thresholds"
        lines.append(
            f"  first: {at.neuron}, sample {at.sample}, place {at.place}: {at.integer} as an integer, {at.substeps} "
            f"in sub-steps{near}"
        )
    return lines
