"""`spikedrive neurons`: what can fire, what it computes and what a step of it costs."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import spikedrive
from spikedrive.cli.output import JsonFlag, emit, table

if TYPE_CHECKING:
    from spikedrive.auditing.neuron_cost import NeuronCost
    from spikedrive.interop.nir import Mapping
    from spikedrive.neurons import Neuron

SIZE = 4
"""What a neuron is given for every size that has no default: inputs, features, the longest delay."""

COLUMNS = {
    "additions": "add", "multiplications": "mul", "compares": "cmp", "shifts": "shift", "selections": "select",
    "functions": "fn",
}  # fmt: skip


def verb(
    name: Annotated[str, typer.Argument(help="A neuron's name, or a shell pattern, as in '*LIF'.")] = "*",
    as_json: JsonFlag = False,
) -> None:
    """List the neurons and what a step of each costs; one name shows its equation."""
    from spikedrive.errors import unknown_name

    names = every_name(name)
    if not names:
        raise unknown_name("neuron", name, every_name())
    cards = [card(one) for one in names]
    if names == [name]:
        emit(_plain(cards[0]), _page(cards[0]), as_json)
    else:
        emit([_plain(one) for one in cards], _listing(cards), as_json)


@dataclass(frozen=True)
class Card:
    """What is known of a neuron with its default arguments.

    `cost` is that of one element at one step; `domain` None stands for real numbers, `refuses_streaming` for the
    reason, None where it streams. A `cell` holds the weights of a layer, and its cost is the mean over its features.
    """

    name: str
    signature: str
    docstring: str
    domain: str | None
    states: tuple[str, ...]
    learned: tuple[str, ...]
    refuses_streaming: str | None
    silent_at_zero: bool
    cell: bool
    cost: NeuronCost
    nir: Mapping
    source: str


def every_name(pattern: str = "*") -> list[str]:
    """The neurons and cells whose names match."""
    from spikedrive.neurons import list_cells, list_neurons

    return sorted([*list_neurons(pattern), *list_cells(pattern)], key=str.lower)


def example(name: str) -> Neuron:
    """The neuron with its default arguments, and `SIZE` where it has none; the same at every call."""
    import torch

    from spikedrive.neurons import get_cell, get_neuron, list_cells

    cls = get_cell(name) if name in list_cells() else get_neuron(name)
    parameters = inspect.signature(cls).parameters.values()
    sizes = {p.name: SIZE for p in parameters if p.default is p.empty}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return cls(**sizes)


def inputs_of(neuron: Neuron) -> int:
    """The last axis that it takes: a cell's number of inputs, 1 for what takes any."""
    return int(getattr(neuron, "inputs", 1))


def card(name: str) -> Card:
    """All of it found in the code, the cost by an audit of the equation."""
    from spikedrive.auditing.neuron_cost import neuron_cost
    from spikedrive.interop.nir import mapping
    from spikedrive.neurons import list_cells

    neuron, cell = example(name).eval(), name in list_cells()
    domain = neuron.domain
    return Card(
        name=name,
        signature=_signature(type(neuron)),
        docstring=inspect.cleandoc(type(neuron).__doc__ or ""),
        domain=None if domain is None else str(domain),
        states=_states(neuron),
        learned=tuple(path for path, p in neuron.named_parameters() if p.requires_grad),
        refuses_streaming=neuron.refuses_streaming,
        silent_at_zero=neuron.silent_at_zero,
        cell=cell,
        cost=neuron_cost(neuron, (inputs_of(neuron),)),
        nir=mapping(name, "real" if domain is None else domain.kind),
        source=str(Path(inspect.getfile(type(neuron))).relative_to(Path(spikedrive.__file__).parents[1])),
    )


def _signature(cls: type) -> str:
    """The arguments with their defaults, without their types."""
    signature = inspect.signature(cls)
    plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=plain, return_annotation=signature.empty))


def _states(neuron: Neuron) -> tuple[str, ...]:
    """The names that the neuron's operation gives to what is carried from step to step."""
    import torch
    from torch.utils import _pytree as pytree

    from spikedrive.auditing.neuron_cost import some_state
    from spikedrive.ops.domains import NEURON_OPS, bind

    found: dict[int, str] = {}

    class Names(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            op = func.default if isinstance(func, torch._ops.OpOverloadPacket) else func
            if isinstance(op, torch._ops.OpOverload) and str(op) in NEURON_OPS:
                found.update({id(value): key for key, value in bind(op, args, kwargs or {}).items()})
            return func(*args, **(kwargs or {}))

    x = torch.zeros(getattr(neuron, "steps", None) or 1, 1, inputs_of(neuron))
    state = some_state(neuron, (inputs_of(neuron),))
    with torch.no_grad(), Names():
        neuron.scan(x, state)
    leaves = [leaf for leaf in pytree.tree_leaves(state) if isinstance(leaf, torch.Tensor)]
    return tuple(found.get(id(leaf), "state") for leaf in leaves)


def _plain(one: Card) -> dict[str, Any]:
    return {**asdict(one), "nir": {"node": one.nir.node, "conversion": one.nir.conversion}}


def _listing(cards: list[Card]) -> str:
    header = ["neuron", "emits", "states", "learned", "streams", *COLUMNS.values(), "NIR"]
    rows: list[list[Any]] = [
        [
            one.name, one.domain or "real numbers", ", ".join(one.states), len(one.learned) or None,
            "no" if one.refuses_streaming else "yes",
            *(getattr(one.cost, count) or None for count in COLUMNS), one.nir.node,
        ]
        for one in cards
    ]  # fmt: skip
    meaning = ", ".join(COLUMNS)
    return f"{table(header, rows)}\n\nNumbers stand for one element at one step: {meaning}."


def _page(one: Card) -> str:
    facts = [
        ["emits", one.domain or "real numbers"],
        ["states", ", ".join(one.states)],
        ["learns", ", ".join(one.learned)],
        ["streams", f"no: {one.refuses_streaming}" if one.refuses_streaming else "yes"],
        ["at zero input", "silent" if one.silent_at_zero else "fires by itself"],
        ["a step costs", str(one.cost)],
        ["NIR", one.nir.said],
        ["code", one.source],
    ]
    return f"{one.name}{one.signature}\n\n{one.docstring}\n\n{table(['by default', ''], facts)}"
