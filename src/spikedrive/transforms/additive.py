"""`make_additive`: apply what is exact, and say what is left."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from spikedrive.auditing import audit
from spikedrive.auditing.result import Verdict, operations, short
from spikedrive.auditing.trace import Graph, trace
from spikedrive.blocks import SpikingModel
from spikedrive.transforms.examples import example_of
from spikedrive.transforms.neighbours import Neighbours
from spikedrive.transforms.repairs import REPAIRS, Change, Repair, fuse_chains, scales_into_thresholds
from spikedrive.transforms.trials import Proposal, answers, largest_change, proposals, round_leaks

TOLERANCE = 1e-9
"""How far an exact repair may move the answer in fp64, over the largest answer."""


@dataclass(frozen=True)
class Applied:
    """One step that was taken: the module, what was done, and what it did to the answer on the example.

    `exact` is False for a leak that was rounded because it was asked for. *Units*: `change` is the largest absolute
    difference of the answer in fp64 over the largest answer, of all steps of its kind together.
    """

    module: str
    what: str
    exact: bool
    change: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Repaired:
    """What `make_additive` gives: the repaired copy, both verdicts, the steps taken and what remains.

    `left_out` names the repairs whose answer on the example moved by more than `tolerance`, which were not taken.
    `change` is the largest absolute difference of the answer in the model's own precision.
    """

    model: nn.Module = field(repr=False)
    before: Verdict
    after: Verdict
    applied: tuple[Applied, ...]
    left_out: tuple[Applied, ...]
    remaining: tuple[Proposal, ...]
    tolerance: float
    change: float

    @property
    def multiplication_free(self) -> bool:
        """Whether nothing but the analog first layer multiplies."""
        return self.after == "additive"

    def to_dict(self) -> dict[str, Any]:
        """Everything but the model, as plain lists, numbers and strings."""
        kept = [f.name for f in dataclasses.fields(self) if f.name != "model"]
        steps = ("applied", "left_out", "remaining")
        return {
            k: [dataclasses.asdict(s) for s in getattr(self, k)] if k in steps else getattr(self, k)
            for k in kept
        }

    def text(self) -> str:
        """The report for a terminal."""
        lines = [f"{self.before} -> {self.after}, the answer on the example changed by {self.change:.3g}"]
        for title, steps in (("applied", self.applied), ("left out, they moved the answer", self.left_out)):
            if steps:
                lines += ["", f"{len(steps)} steps {title}:"]
            lines += [
                f"  {s.module}: {s.what} ({'exact' if s.exact else 'approximate'}, moved {s.change:.1e} in fp64)"
                for s in steps
            ]
        if self.remaining:
            lines += ["", f"{operations(len(self.remaining))} still:"]
        for left in self.remaining:
            lines += [
                f"  {left.module or '(model)'} {left.op}: {short(left.count)} a sample, {left.why}",
                f"    instead: {left.step}{_measured(left)}",
            ]
        return "\n".join(lines)

    __str__ = text


def _measured(left: Proposal) -> str:
    if left.change is None:
        return " (not tried)"
    share = "" if left.relative is None else f", {100 * left.relative:.2g} % of the largest"
    return f" (the answer would change by {left.change:.3g}{share})"


def make_additive(
    model: nn.Module,
    *,
    round_leaks: bool = False,
    example: Tensor | tuple[Tensor, ...] | None = None,
    batch_axis: int | None = None,
) -> Repaired:
    """A copy in eval mode with every exact repair applied, and a report on what still multiplies.

    Exact are: chains between two neurons (ConvBN, RepConv, depthwise and pointwise) as one layer, BatchNorm into the
    layer in front, learned constants into its weight, two layers in a row as one, a scale into the threshold behind
    it, and a neuron's output scale into the weights that read it. Each kind is applied to an fp64 copy first, and
    taken only where the answer on `example` stays the same within 1e-9 of its size. With `round_leaks` leaks become
    shifts, which changes the answer: the report says by how much. What remains is tried too, on copies, and never
    kept. Applied to its own result it finds nothing more to do.

    `example` is one batch of inputs as the model takes them; a registered model without one is tried on noise.
    `batch_axis` is 0 for (B, ...) and 1 for (T, B, ...); a model's card says which. A model that its arguments would
    not build again loses its card, so that `save_model` refuses it; use `torch.save`.

    *Raises*: AuditError for a model that cannot be exported; ConfigError for neither card nor example.
    """
    given = example_of("make_additive", model, example)
    before = audit(model, given, batch_axis=batch_axis).verdict
    work = _Work(model, given, batch_axis)
    # one repair may make room for another
    while sum(work.repair(repair) for repair in REPAIRS):
        pass
    if round_leaks:
        work.round_leaks()
    after = audit(work.model, given, batch_axis=batch_axis)
    return Repaired(
        model=work.model, before=before, after=after.verdict, applied=tuple(work.applied),
        left_out=tuple(work.left_out.values()), remaining=proposals(work.model, after, given), tolerance=TOLERANCE,
        change=largest_change(work.first_answer, answers(work.model, given)),
    )  # fmt: skip


class _Work:
    """The copy under repair, in its own precision and in fp64."""

    def __init__(self, model: nn.Module, example: tuple[Tensor, ...], batch_axis: int | None) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._precise = copy.deepcopy(self.model).double()
        self._batch_axis = batch_axis
        self._graph: Graph | None = None
        self._example = tuple(x.double() if x.is_floating_point() else x for x in example)
        self._answer = answers(self._precise, self._example)
        self.first_answer = answers(self.model, example)
        self.applied: list[Applied] = []
        self.left_out: dict[Repair, Applied] = {}

    def repair(self, repair: Repair) -> bool:
        """Apply one kind of repair where it can be, if the answer stays; whether anything was done."""
        if repair in self.left_out:
            return False
        trial = copy.deepcopy(self._precise)
        changes = repair(trial, self._look)
        if not changes:
            return False
        moved = self._moved(trial)
        steps = [Applied(c.module, c.what, True, moved) for c in changes]
        # written so that NaN fails too
        if not moved <= TOLERANCE:
            self.left_out[repair] = steps[0]
            return False
        repair(self.model, self._look)
        self._precise, self._graph = trial, None
        self.applied += steps
        self._mark(repair)
        return True

    def round_leaks(self) -> None:
        """Round every leak to a shift."""
        changes = round_leaks(self._precise)
        round_leaks(self.model)
        moved = self._moved(self._precise)
        self.applied += [Applied(c.module, c.what, False, moved) for c in changes]
        if changes:
            self._mark(None)

    def _look(self, model: nn.Module) -> Neighbours:
        # one graph serves both precisions, until something changes
        if self._graph is None:
            self._graph = trace(self._precise, self._example, batch_axis=self._batch_axis)
        return Neighbours(model, self._graph)

    def _moved(self, trial: nn.Module) -> float:
        size = max((float(a.abs().amax()) for a in self._answer if a.numel()), default=0.0)
        change = largest_change(self._answer, answers(trial, self._example))
        return change / size if size else change

    def _mark(self, repair: Repair | None) -> None:
        """Say on the model what a file of it would have to say."""
        if not isinstance(self.model, SpikingModel):
            return
        if repair is fuse_chains:
            self.model.fused = {"dense_separable": True}
        elif repair is not scales_into_thresholds:
            # a scale in the threshold is what the arguments build again, and no weight moved
            self.model.card = None


__all__ = ["Applied", "Change", "Proposal", "Repaired", "make_additive"]
