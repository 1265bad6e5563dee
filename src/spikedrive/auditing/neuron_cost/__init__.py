"""What one step of a neuron costs, counted on its own equation by the rules of the audit."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from spikedrive.auditing.bounds import Proof, propagate
from spikedrive.auditing.folding import Step, materialise
from spikedrive.auditing.neuron_cost.equation import SYNAPSE, equation_graph
from spikedrive.auditing.rules.neurons import is_shift
from spikedrive.auditing.trace import Node, Ref
from spikedrive.auditing.value import of_constant
from spikedrive.neurons import Neuron
from spikedrive.ops.domain import Binary, Domain

STEPS = 4
"""The length on which a neuron without a length of its own is counted where it needs the whole."""

LONG = 64
"""Steps that any neuron takes for a whole sequence, one with a delay too."""


@dataclass(frozen=True)
class NeuronCost:
    """The operations of one neuron at one step.

    `additions` include subtractions; `multiplications` include divisions; `shifts` are multiplications by a power of
    two (by one less a power of two: a shift and an addition); `selections` choose one of two numbers where a spike
    says so, as a hard reset does; `functions` are exponentials, roots and the like. Constants that scale the input
    fold into the weights in front, those that scale the output into the weights behind.
    """

    additions: float = 0.0
    multiplications: float = 0.0
    compares: float = 0.0
    shifts: float = 0.0
    selections: float = 0.0
    functions: float = 0.0

    def __str__(self) -> str:
        """The counts that are not zero, in words."""
        counts = [(getattr(self, field.name), field.name) for field in fields(self)]
        said = [f"{count:g} {name if count != 1 else name[:-1]}" for count, name in counts if count]
        return ", ".join(said) or "nothing"


def neuron_cost(neuron: Neuron, features: tuple[int, ...] = (1,)) -> NeuronCost:
    """What one element of `neuron` costs at one step.

    `features` are the axes after (T, B) of its input; the cost is the mean over all that it emits.
    A neuron that streams is counted on one step from any state; one that is bound to T steps, or needs all of them
    at once, on the whole, divided by T.
    *Raises*: AuditError for an operation that the audit has no rule for.

    >>> from spikedrive.neurons import IF, LIF
    >>> print(neuron_cost(IF()))
    1 addition, 1 compare, 1 selection
    >>> print(neuron_cost(LIF()))
    1 addition, 1 compare, 1 shift, 1 selection
    """
    neuron = neuron.eval()
    steps = getattr(neuron, "steps", None) or (STEPS if neuron.refuses_streaming else 1)
    x = torch.zeros(steps, 1, *features)
    graph = equation_graph(neuron, x, some_state(neuron, features))
    proof = propagate(graph, [None, *_carried_spikes(neuron, features)])
    for name in proof.graph.outputs[1:]:
        # what is still to be multiplied in a state is so before the next step
        step = Step(proof.graph, proof.graph[name], proof.values, proof.ledger)
        materialise(step, proof.value(name), name)
    elements = proof.value(proof.graph.outputs[0]).count
    return NeuronCost(**{key: count / elements for key, count in _counts(proof).items()})


def some_state(neuron: Neuron, features: tuple[int, ...] = (1,)) -> Any:
    """What `neuron` carries from step to step: after some noise, or at rest where its steps are numbered."""
    steps = getattr(neuron, "steps", None)
    x = torch.zeros(steps or LONG, 1, *features)
    return neuron.rest(x) if steps or neuron.refuses_streaming else _after_noise(neuron, x.shape)


def _carried_spikes(neuron: Neuron, features: tuple[int, ...]) -> list[Domain | None]:
    """For each tensor of the state the domain of spikes, where it holds nothing else."""
    if neuron.refuses_streaming:
        return []
    state = _after_noise(neuron, torch.Size((getattr(neuron, "steps", None) or LONG, 16, *features)))
    held = [leaf for leaf in pytree.tree_leaves(state) if isinstance(leaf, Tensor)]
    return [Binary() if set(leaf.flatten().tolist()) == {0.0, 1.0} else None for leaf in held]


@torch.no_grad()
def _after_noise(neuron: Neuron, shape: torch.Size) -> Any:
    x = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return neuron.scan(x, neuron.rest(x))[1]


def _counts(proof: Proof) -> dict[str, float]:
    counts = dict.fromkeys((field.name for field in fields(NeuronCost)), 0.0)
    for tally in proof.ledger.tallies():
        if tally.node.op == SYNAPSE or _is_in_a_threshold(proof, tally.node):
            continue
        # of each group of alternatives the cheapest is executed; one unit of a spike is a choice
        chosen = [min(group, key=lambda event: event.worst) for group in tally.events]
        counts["selections"] += tally.ands + sum(event.worst for event in chosen if event.largest <= 1)
        counts["additions"] += tally.additions + tally.sums
        counts["additions"] += sum(event.worst for event in chosen if event.largest > 1)
        moved = tally.multiplications if _is_shift_and_difference(proof, tally.node) else 0
        counts["multiplications"] += tally.multiplications - moved
        counts["additions"] += moved
        counts["shifts"] += moved
        counts["functions"] += tally.functions
        counts["shifts"] += tally.shifts
        counts["compares"] += tally.compares
    return counts


def _is_shift_and_difference(proof: Proof, node: Node) -> bool:
    """Whether it multiplies by one less a power of two, as in 3/4 v = v - v/4."""
    if node.op != "aten.mul.Tensor":
        return False
    values = [
        proof.value(leaf.name) if isinstance(leaf, Ref) else of_constant(torch.tensor(leaf))
        for leaf in node.args
    ]
    constants = [float(value.literal) for value in values if value.base == "constant" and value.count == 1]
    # what is multiplied must hold no other constant that waits
    return len(constants) == 1 and is_shift(constants[0]) and not any(value.has_gain for value in values)


def _is_in_a_threshold(proof: Proof, node: Node) -> bool:
    """Whether it moves or limits what is compared or rounded next and goes nowhere else.

    h - c >= 0 is the comparison of h with c; a limit before a rounding is where its comparisons end.
    """
    if node.op not in _MOVES or not node.users:
        return False
    readers = [proof.graph[user] for user in node.users]
    moving = [name for name in node.refs if proof.value(name).base != "constant"]
    if len(moving) == 2:
        return node.op == "aten.sub.Tensor" and all(r.op in _COMPARISONS and r.args[1] == 0 for r in readers)
    return all(
        r.op in _ROUNDINGS or (r.op in _COMPARISONS and len(r.refs) == 1) or _is_in_a_threshold(proof, r)
        for r in readers
    )


_ROUNDINGS = ("aten.round.default", "aten.floor.default", "aten.ceil.default")
_COMPARISONS = tuple(
    f"aten.{name}.{kind}" for name in ("ge", "gt", "le", "lt") for kind in ("Scalar", "Tensor")
)
_MOVES = ("aten.clamp.default", "aten.add.Tensor", "aten.sub.Tensor")
