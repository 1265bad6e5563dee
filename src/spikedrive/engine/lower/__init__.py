"""From an audited model to an integer program."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence

import numpy as np
from torch import Tensor, nn

from spikedrive.auditing import Audit, audit
from spikedrive.auditing.trace import Graph, trace
from spikedrive.blocks import SpikingModel, fuse
from spikedrive.engine.arithmetic import Conv2d, Linear
from spikedrive.engine.ir import Neuron, Op
from spikedrive.engine.lower import layers, neurons, views  # noqa: F401
from spikedrive.engine.lower.draft import TableDraft, WeightedDraft
from spikedrive.engine.lower.walk import Walk
from spikedrive.engine.runtime import Meta, Program
from spikedrive.errors import ConfigError, LoweringError

EXACT = 2**53


def compile(
    model: nn.Module,
    example: Tensor,
    *,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    weight_bits: int = 8,
    class_names: Sequence[str] | None = None,
    audited: Audit | None = None,
) -> Program:
    """The integer program of `model`, which stays as it is.

    The model is fused, audited, traced and quantised: weights to `weight_bits` with a power of two per output
    channel, one power of two for everything that adds into one membrane stream, integer thresholds. The program
    takes raw uint8 images; (x / 255 - mean) / std is part of its first layer, at the border too. A model that begins
    with `nn.Embedding` takes token ids and has no `mean` and `std`; its table has a power of two per column.
    `audited` saves the audit where the same deployed model was audited already.

    *Shapes*: example (B, C, H, W), or (T, B, C, H, W) where the model takes sequences; its values do not matter.
    Token ids are whole numbers (B, ...) or (T, B, ...).
    *Raises*: LoweringError for a model that the audit finds hybrid, or that no integers can stand for;
    ConfigError for mean, std or weight_bits out of range.
    """
    _check_numbers(example, mean, std, weight_bits, class_names)
    deployed = deployable(model)
    graph = trace(deployed, example)
    _refuse_hybrid(deployed, example, graph, audited)
    walk = Walk(graph, np.array(mean, float), np.array(std, float))
    answer = walk.run()
    for draft in walk.drafts:
        if isinstance(draft, (WeightedDraft, TableDraft)):
            draft.write(weight_bits)
    ops = [op for draft in walk.drafts for op in draft.emit(weight_bits)]
    # the answer stands last
    ops = _reaching(ops, answer.name)
    card = getattr(model, "card", None)
    meta = Meta(
        model=card.name if card else type(model).__name__, class_names=tuple(class_names or ()),
        mean=tuple(map(float, mean)), std=tuple(map(float, std)), weight_bits=weight_bits, source=graph.digest(),
    )  # fmt: skip
    program = Program(ops, meta)
    _check_exact(program)
    return program


def deployable(model: nn.Module) -> nn.Module:
    """An eval-mode copy in the form that is compiled: fused, unless it is already or has nothing to fuse."""
    if isinstance(model, SpikingModel) and model.fused is None:
        return fuse(model)
    return copy.deepcopy(model).eval()


def _check_numbers(
    example: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    weight_bits: int,
    class_names: Sequence[str] | None,
) -> None:
    channels = example.shape[-3] if example.dim() >= 3 and example.is_floating_point() else 0
    if not isinstance(mean, Iterable) or not isinstance(std, Iterable):
        raise ConfigError(
            f"compile got mean={mean!r}, std={std!r}; it takes a list with a number for each of the {channels} "
            f"channels. Write them as {[0.5] * channels}."
        )
    finite = all(math.isfinite(v) for v in (*mean, *std)) and all(v > 0 for v in std)
    if len(mean) != channels or len(std) != channels or not finite:
        raise ConfigError(
            f"compile got mean={list(mean)}, std={list(std)} for an example of shape {tuple(example.shape)}; it takes "
            f"a finite number for each of the {channels} channels, std above 0. Pass those it was trained with."
        )
    if not 2 <= weight_bits <= 16:
        raise ConfigError(f"compile got weight_bits={weight_bits}; it takes 2 to 16. Use 8.")
    if class_names is not None and isinstance(class_names, str):
        raise ConfigError(
            f"compile got class_names={class_names!r}; it takes a list of names. Pass [{class_names!r}]."
        )


def _refuse_hybrid(model: nn.Module, example: Tensor, graph: Graph, audited: Audit | None) -> None:
    if audited is None or audited.graph_hash != graph.digest():
        audited = audit(model, example)
    if audited.verdict != "hybrid":
        return
    named = "; ".join(f"{e.op} in {e.module!r} ({e.file}:{e.line}): {e.why}" for e in audited.exceptions[:5])
    more = f"; and {len(audited.exceptions) - 5} more" if len(audited.exceptions) > 5 else ""
    raise LoweringError(
        f"The audit finds the model hybrid: {named}{more}. A program has additions, comparisons and shifts behind its "
        "first layer. If a linear chain is the reason, compile fuse(model, dense_separable=True); otherwise put a "
        "neuron in front of what multiplies."
    )


def _reaching(ops: list[Op], answer: str) -> list[Op]:
    """The operations that the answer needs, the answer last."""
    needed = {answer}
    for op in reversed(ops):
        if op.name in needed:
            needed.update(op.inputs)
    kept = [op for op in ops if op.name in needed]
    return [op for op in kept if op.name != answer] + [op for op in kept if op.name == answer]


def _check_exact(program: Program) -> None:
    """Every sum stays below 2**53, so that fp64 holds each of them exactly in any order."""
    for op in program.ops:
        value = program.values[op.name]
        reach = max(value.peak, value.magnitude)
        if isinstance(op, (Conv2d, Linear)):
            reach = max(reach, (value.peak << int(op.shift.max())) + int(np.abs(op.bias).max()))
        if isinstance(op, Neuron) and op.decay_input:
            # a scan in fp64 may form x - v, of two numbers of that size
            reach *= 3
        if reach >= EXACT:
            raise LoweringError(
                f"{op.module or op.name!r} can reach {reach:.3g} in its integer units; sums stay below 2**53, so that "
                "they can be checked in fp64. Use fewer weight_bits, fewer steps or a smaller leak."
            )


__all__ = ["compile", "deployable"]
