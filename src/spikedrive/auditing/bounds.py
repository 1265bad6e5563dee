"""Values and costs carried through a graph, node by node; an operation without a rule stops it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.auditing import spread
from spikedrive.auditing.folding import Step, materialise
from spikedrive.auditing.ledger import Ledger
from spikedrive.auditing.rules import COMPLEX, RULES, Rule, neurons
from spikedrive.auditing.trace import Graph, Node, evaluate, is_pure, trace
from spikedrive.auditing.value import Value, of_constant, of_integers, of_real, unbounded
from spikedrive.errors import AuditError
from spikedrive.neurons import Neuron
from spikedrive.ops.domain import Binary, Domain
from spikedrive.ops.domains import NEURON_OPS
from spikedrive.state import plain_path


@dataclass(frozen=True)
class Proof:
    """What holds of every node of a graph, and what each costs."""

    graph: Graph
    values: dict[str, Any]
    ledger: Ledger

    def value(self, name: str) -> Value:
        """The value of a node with one output."""
        return self.values[name]

    def check(self, name: str, seen: Any) -> None:
        """Compare what a node gave on data with the domain that was declared for it, as an input or a neuron.

        Raises: AuditError.
        """
        value, node = self.values[name], self.graph[name]
        declared = node.op == "input" or (
            node.op == "getitem" and node.args[1] == 0 and self.graph[node.args[0].name].op in NEURON_OPS
        )
        if not declared or not isinstance(value, Value) or value.base != "integer" or value.integers is None:
            return
        scale = float(value.gain.flatten()[0])
        # one step after the other, so that copies stay small
        for part in seen.unbind(0) if seen.dim() else (seen,):
            n = part / scale
            away = float((n - n.round()).abs().amax())
            if away < 1e-3 and value.integers.low - 0.5 < n.amin() and n.amax() < value.integers.high + 0.5:
                continue
            raise AuditError(
                f"The {_source(self.graph, node)} is declared {value.domain} and gave numbers between "
                f"{part.amin() + 0.0:g} and {part.amax() + 0.0:g}{' that are not whole' if away >= 1e-3 else ''} on "
                "the data; a declared domain must hold every one. Correct the declaration or the data."
            )


def _source(graph: Graph, node: Node) -> str:
    if node.op == "input":
        return f"input {graph.inputs.index(node.name)}"
    return f"neuron {graph[node.args[0].name].op} in {node.where}"


def propagate(
    graph: Graph, inputs: Sequence[Domain | None] = (), declared: Mapping[str, Domain] | None = None
) -> Proof:
    """The proof of `graph`; its inputs are real numbers unless `inputs` gives their domains.

    `declared` holds the domain that each neuron module declares, by its path: checked against what the
    graph computes, it bounds what leaves the module.

    Raises: AuditError for an operation without a rule, or a neuron whose declared domain is too small.
    """
    if len(inputs) > len(graph.inputs):
        raise AuditError(
            f"audit got {len(inputs)} domains in `inputs`; the model has {len(graph.inputs)} inputs. Give one for each "
            "in turn, None for real numbers."
        )
    values: dict[str, Any] = {}
    proof = Proof(graph, values, Ledger(graph))
    given = dict(zip(graph.inputs, inputs, strict=False))
    for node in graph:
        value = _value_of(proof, node, given.get(node.name))
        if declared and node.module in declared and isinstance(value, Value) and node.op != "constant":
            value = _as_declared(proof, node, value, declared[node.module])
        values[node.name] = value
    for name in graph.outputs:
        _read_out(proof, name)
    return proof


def _value_of(proof: Proof, node: Node, given: Domain | None) -> Any:
    if node.op == "input":
        given = Binary() if given is None and node.dtype is torch.bool else given
        if given is not None:
            return of_integers(node.shape, given, "fired", levels=given.levels)
        return unbounded(node.shape, base="image" if node.name == _analog_input(proof.graph) else "real")
    if node.op == "constant":
        return of_constant(proof.graph.constants[node.name])
    if node.op == "getitem":
        return _part(proof, node)
    found = _rule_of(proof, node)
    if _is_constant(proof, node):
        return _constant(proof, node)
    step = Step(proof.graph, node, proof.values, proof.ledger)
    if node.op in NEURON_OPS:
        _check_neuron(step)
    value = found(step)
    _check_shapes(node, value)
    if isinstance(value, Value):
        value = _within_type(node, value)
    return _stepped(proof, node, value)


def _analog_input(graph: Graph) -> str:
    """The input that the analog first layer may read: the first of real numbers, else the first of any.

    Which others are states that the last call returned, the graph cannot tell, so they are real values like any.
    """
    floating = [name for name in graph.inputs if graph[name].dtype.is_floating_point]
    return (floating or list(graph.inputs))[0]


def _within_type(node: Node, value: Value) -> Value:
    """The value, as any number of its type where it may be too large for it and wrap around."""
    if value.base == "constant" or node.dtype not in _WHOLE:
        return value
    limits = torch.iinfo(node.dtype)
    if float(value.low.amin()) >= limits.min and float(value.high.amax()) <= limits.max:
        return value
    if value.base == "image" and not (value.has_gain or value.has_offset):
        return value
    return of_real(node.shape, *(spread.constant(end, value.rank) for end in (limits.min, limits.max)))


_WHOLE = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)


def _is_constant(proof: Proof, node: Node) -> bool:
    """Whether constants of the batch's size are all that it reads, as a state of zeros before the first step."""
    read = [proof.values[name] for name in node.refs]
    return (
        bool(read)
        and len(node.shapes) == 1
        and all(isinstance(v, Value) and v.base == "constant" for v in read)
        and is_pure(node)
    )


def _constant(proof: Proof, node: Node) -> Value:
    known = {}
    for name in node.refs:
        value = proof.value(name)
        tensor = spread.ranked(value.tensor, value.rank)  # type: ignore[arg-type]
        known[name] = tensor.expand(value.shape).to(proof.graph[name].dtype)
    with torch.no_grad():
        return of_constant(evaluate(node, known, proof.graph.batch))


def _rule_of(proof: Proof, node: Node) -> Rule:
    types = [dtype for name in (node.name, *node.refs) for dtype in proof.graph[name].dtypes]
    if any(dtype.is_complex for dtype in types):
        table, on = COMPLEX, " on complex numbers"
    else:
        table, on = RULES, ""
    if node.op not in table:
        raise AuditError(
            f"The audit has no rule for {node.op}{on} in {node.where}, so it can prove nothing about this model; "
            f"it knows {len(table)} operations{on}. Replace the operation, or register a rule with "
            "spikedrive.auditing.rules.rule."
        )
    return table[node.op]


def _stepped(proof: Proof, node: Node, value: Any) -> Any:
    """The value with the steps that an encoder made of a static input; its dense twin takes one."""
    read = [v for name in node.refs for v in _flat(proof.values[name]) if v is not None]
    steps = max((v.steps for v in read), default=1)
    if steps > 1 and node.name in proof.ledger:
        proof.ledger[node.name].dense_macs /= steps
    if isinstance(value, tuple):
        return tuple(v and replace(v, steps=max(steps, v.steps)) for v in value)
    made = value.repeats // max((v.repeats for v in read), default=1)
    # a readout takes the steps away: what had them along its first axis has them no longer
    ended = (
        steps > 1
        and any(v.steps == steps and v.shape[:1] == (steps,) for v in read)
        and value.shape[:1] != (steps,)
    )
    return replace(value, steps=1 if ended and node.op in _READOUTS else max(steps, made))


# the operations with which a model leaves time
_READOUTS = ("aten.mean.dim", "aten.sum.dim_IntList", "aten.amax.default", "aten.select.int")


def _flat(value: Any) -> tuple[Value, ...]:
    return value if isinstance(value, tuple) else (value,)


def _part(proof: Proof, node: Node) -> Value:
    source, index = node.args[0].name, node.args[1]
    value = proof.values[source][index]
    again = Counter(
        proof.graph[user].args[1] for user in proof.graph[source].users if proof.graph[user].op == "getitem"
    )
    return value if again[index] == 1 else replace(value, folds=())


def _check_shapes(node: Node, value: Any) -> None:
    # an output that was not asked for is None, and has no shape
    values = [v for v in _flat(value) if v is not None]
    shapes = [tuple(map(int, shape)) for shape in node.shapes]
    if [v.shape for v in values] != shapes[: len(values)] or any(v.low.dim() != v.rank for v in values):
        raise AuditError(
            f"The rule for {node.op} gave shapes {[v.shape for v in values]} in {node.where}, where the graph has "
            f"{shapes}; the rule is wrong. Correct it before trusting any audit of this operation."
        )


def _read_out(proof: Proof, name: str) -> None:
    """Place what is still deferred in an output: one positive constant on all logits decides nothing."""
    value = proof.values[name]
    if not isinstance(value, Value) or not value.deferred or not value.has_gain:
        return
    one = spread.is_uniform(value.gain) and float(value.gain.flatten()[0]) > 0
    if one:
        for deferred in value.deferred:
            row = proof.ledger[deferred]
            if not row.kind or row.kind in ("folded", "sum", "sum of integers"):
                row.kind = "readout scale" if not row.kind or row.kind == "folded" else row.kind
                row.note = (
                    "readout scale: one positive constant on all outputs, no multiplication for an argmax"
                )
        return
    materialise(Step(proof.graph, proof.graph[name], proof.values, proof.ledger), value, name)


_PROVEN: dict[tuple[Any, ...], Domain] = {}


def _check_neuron(step: Step) -> None:
    """Compare what the neuron's operation declares with what its plain PyTorch form can emit."""
    node, said = step.node, neurons.declared(step)
    arguments = {key: step[key] for key in step._arguments}
    options = {k: v for k, v in arguments.items() if not isinstance(v, Value)}
    carried = tuple(k for k, v in arguments.items() if isinstance(v, Value))
    key = (node.op, said, carried, tuple(sorted((k, repr(v)) for k, v in options.items())))
    if key in _PROVEN:
        return
    plain = _Plain(node.op, arguments)
    fixed = trace(plain, plain.example(), batch_axis=0, dynamic=False)
    value = propagate(fixed).value(fixed.outputs[0])
    if not neurons.with_domain(value, said):
        raise AuditError(
            f"{node.op} in {node.where} declares {said} and its plain form can emit {value.domain} between "
            f"{float(value.low.amin()):g} and {float(value.high.amax()):g}; a declared domain must hold every output. "
            "Correct the declaration or the neuron."
        )
    _PROVEN[key] = said


class _Plain(nn.Module):
    """The decomposition of one neuron node on small inputs."""

    def __init__(self, op: str, arguments: dict[str, Any]) -> None:
        super().__init__()
        self._op, self._names = op, list(arguments)
        self._free = [k for k, v in arguments.items() if isinstance(v, Value) and v.base != "constant"]
        self._options = {k: v for k, v in arguments.items() if not isinstance(v, Value)}
        self._tensors: dict[str, Tensor] = {}
        for name, value in arguments.items():
            if name in self._free or not isinstance(value, Value):
                continue
            # a membrane at rest has the size of the batch, a learned decay has none
            sized = value.rank > 0
            self._tensors[name] = torch.zeros(2, 3) if sized else value.literal.reshape(()).float()

    def example(self) -> tuple[Tensor, ...]:
        """Two steps, two samples, three neurons."""
        return tuple(torch.zeros(2, 2, 3) if name == "x" else torch.zeros(2, 3) for name in self._free)

    def forward(self, *free: Tensor) -> Tensor:
        given = {**self._options, **self._tensors, **dict(zip(self._free, free, strict=True))}
        return NEURON_OPS[self._op].decomposition(*[given[name] for name in self._names])[0]


def declared_domains(model: nn.Module) -> dict[str, Domain]:
    """The domain that each neuron module declares, by its path."""
    return {
        plain_path(path): m.domain
        for path, m in model.named_modules()
        if isinstance(m, Neuron) and m.domain is not None
    }


def _as_declared(proof: Proof, node: Node, value: Value, said: Domain) -> Value:
    """What leaves a neuron module, once its declaration is found to hold it."""
    leaves = node.name in proof.graph.outputs or any(
        proof.graph[user].module != node.module for user in node.users
    )
    if not leaves:
        return value
    if not neurons.with_domain(value, said):
        raise AuditError(
            f"The neuron {node.where} declares {said} and the graph computes {value.domain} between "
            f"{float(value.low.amin()):g} and {float(value.high.amax()):g}; a declared domain must hold every output. "
            "Correct the declaration or the neuron."
        )
    return replace(value, origin="fired", levels=said.levels) if value.base == "integer" else value
