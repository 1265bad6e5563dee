"""Every operation of PyTorch's core list has a rule that charges what is executed and bounds what comes out."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from auditing.core_ops import FAMILIES, Family
from spikedrive.auditing import audit
from spikedrive.auditing.bounds import propagate
from spikedrive.auditing.result import COUNTS
from spikedrive.auditing.rules import COMPLEX, RULES
from spikedrive.auditing.trace import Graph, Node, Ref, evaluate, trace
from spikedrive.auditing.value import Value
from spikedrive.errors import AuditError

# sizes become numbers, and an operation into a given tensor one that makes its own, before rules see a graph
REWRITTEN = {
    "aten.sym_numel.default", "aten.sym_size.int", "aten.sym_storage_offset.default", "aten.sym_stride.int",
    "aten.sym_is_contiguous.default", "aten.atan2.out",
}  # fmt: skip
# refused by name, see below: their rules only meet graphs that were not exported by `trace`
NOT_IN_A_GRAPH = {"aten._local_scalar_dense.default", "aten.nonzero.default", "aten.resize_.default"}
# what becomes of them where PyTorch keeps no in-place operation
RENAMED = {
    "aten._native_batch_norm_legit.default": "aten._native_batch_norm_legit_functional.default",
    "aten._native_batch_norm_legit_no_training.default": "aten.batch_norm.default",
}


class Calls(nn.Module):
    """A function of its inputs."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


def core() -> set[str]:
    """The names of PyTorch's core list."""
    names = set()
    for qualified in torch._C._dispatch_get_all_op_names():
        namespace, _, rest = qualified.partition("::")
        name, _, overload = rest.partition(".")
        if namespace == "aten":
            operation = getattr(getattr(torch.ops.aten, name), overload or "default")
            if torch.Tag.core in operation.tags:
                names.add(f"aten.{name}.{overload or 'default'}")
    return names


def inputs_of(family: Family, seed: int, batch: int = 1, *, spikes: bool = False) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(batch, *shape) for shape in family.shapes]
    if spikes:
        high = family.domain.high + 1
        return tuple(torch.randint(0, high, shape, generator=generator).float() for shape in shapes)
    return tuple(3 * torch.randn(shape, generator=generator) for shape in shapes)


@functools.cache
def graph_of(name: str) -> Graph:
    """The traced network; tracing takes longer than everything else here."""
    family = next(family for family in FAMILIES if family.name == name)
    return trace(
        Calls(family.function),
        inputs_of(family, 0),
        dynamic=family.dynamic,
        decompose=lambda op: op not in RULES,
    )


def test_every_operation_of_the_core_list_has_a_rule() -> None:
    assert len(core()) > 190
    assert core() - set(RULES) - set(COMPLEX) == REWRITTEN


def test_every_rule_of_the_core_list_is_executed_here() -> None:
    executed = {node.op for family in FAMILIES for node in graph_of(family.name)}
    missing = core() - executed - REWRITTEN - NOT_IN_A_GRAPH
    assert missing == set(RENAMED)
    assert set(RENAMED.values()) <= executed


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_each_costs_what_a_hand_counts(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikedrive.auditing.verdict.trace", lambda *_, **__: graph_of(family.name))
    counted: dict[str, dict[str, float]] = {}
    domains = [family.domain] * len(family.shapes) if family.declared else ()
    for row in audit(Calls(family.function), inputs_of(family, 0), inputs=domains).layers:
        counts = counted.setdefault(row.op.removeprefix("aten."), {})
        for key in COUNTS:
            if "joules" not in key and getattr(row, key):
                counts[key] = counts.get(key, 0) + getattr(row, key)
    expected = {op: {key: n for key, n in counts.items() if n} for op, counts in family.costs.items()}
    assert {op: counts for op, counts in counted.items() if counts} == expected


@pytest.mark.parametrize("spikes", [False, True], ids=["numbers", "spikes"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_bounds_and_domains_hold_what_comes_out(family: Family, spikes: bool) -> None:
    graph = graph_of(family.name)
    values = propagate(graph, [family.domain] * len(family.shapes) if spikes else ()).values
    for seed in range(3):
        seen: dict[str, Any] = {**graph.constants}
        seen.update(zip(graph.inputs, inputs_of(family, seed, spikes=spikes), strict=True))
        for node in graph:
            if node.name not in seen:
                seen[node.name] = evaluate(node, seen, graph.batch)
            # what memory held before is no result
            if not node.op.startswith("aten.empty"):
                _holds(node.op, values[node.name], seen[node.name])


def _holds(op: str, value: Any, seen: Any) -> None:
    if not isinstance(value, Value):
        for part, its in zip(value, seen, strict=False):
            if part is not None:
                _holds(op, part, its)
        return
    if seen.is_complex() or not seen.numel():
        return
    seen = seen.double()
    known = seen[~seen.isnan()]
    # the model computes in fp32
    slack = 1e-5 * (1 + float(known.abs().max())) if known.numel() else 0.0
    assert not bool((seen < value.low - slack).any()), op
    assert not bool((seen > value.high + slack).any()), op
    if value.base == "integer" and value.integers is not None and bool((value.gain != 0).all()):
        n = (seen - value.offset) / value.gain
        torch.testing.assert_close(n, n.round(), atol=1e-4, rtol=0)
        assert value.integers.low <= n.amin() + 1e-4, op
        assert n.amax() - 1e-4 <= value.integers.high, op


def test_an_operation_into_a_given_tensor_makes_its_own() -> None:
    def into(x: Tensor) -> Tensor:
        out = torch.empty_like(x)
        torch.ops.aten.atan2.out(x, x + x.shape[0] * 0, out=out)
        return out

    ops = {node.op for node in trace(Calls(into), torch.rand(2, 3))}
    assert "aten.atan2.default" in ops
    assert not ops & REWRITTEN


def _gru(x: Tensor, scale: Tensor | float, *, train: bool = False) -> Tensor:
    weights = [torch.ones(9, 4) * scale, torch.ones(9, 3)]
    return torch.gru(x, torch.zeros(1, x.shape[0], 3), weights, False, 1, 0.5, train, False, True)[0]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: _gru(x, 1.0, train=True), r"aten.gru.input in module .* drops at random; .* Call eval\(\)"),
        (lambda x: _gru(x, x.mean()), r"aten.gru.input in module .* has a weight that depends on the input"),
        (lambda x: x.sum().item(), r"has the number \w+, which depends on the data"),
        (torch.nonzero, r"aten.nonzero.default .* depends on the data"),
        (lambda x: x * x.sum().item(), r"depends on the data"),
        (lambda x: x[x > 0], r"depends on the data"),
        (lambda x: x.clone().resize_(2, 3), r"test_core_ops.py:\d+, `.lambda x: x.clone.*modify sizes"),
        (lambda x: torch.linalg.svdvals(x), r"no rule for aten.linalg_svdvals|no rule for aten._linalg_svd"),
        (lambda x: torch.fft.rfft(x).pow(2).abs(), r"no rule for aten.pow.Tensor_Scalar on complex numbers in module"),
    ],
)  # fmt: skip
def test_what_has_no_rule_or_no_fixed_size_is_refused_by_name(function: Any, message: str) -> None:
    with pytest.raises(AuditError, match=message):
        audit(Calls(function), torch.rand(2, 4, 4))


class Hidden(nn.Module):
    """Squares its input where nobody looks."""

    held: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("held", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        before = self.held.clone()
        self.held.copy_((x * x).sum(0))
        return x + before


def test_a_state_in_a_buffer_is_refused() -> None:
    with pytest.raises(AuditError, match=r"writes to its buffer 'held'.*return the new one"):
        audit(Hidden(), torch.rand(2, 3))


def test_what_is_written_into_an_input_is_charged() -> None:
    assert audit(Calls(lambda x: (x.mul_(x), 0 * x)[1]), torch.rand(1, 3)).totals["multiplications"] == 3


def test_constants_that_wait_are_charged_where_they_are_executed() -> None:
    scale = torch.tensor([0.3, 0.6, 0.7, 0.9])

    def function(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        x, y = x.sigmoid(), y.sigmoid()
        return (
            torch.cat([x * scale, y * scale.flip(0)], 1),
            x[:, :1] * scale[0] + y * scale,
            (x * scale) @ scale,
        )

    # a division each in two sigmoids; four and four in a row, one and four before a sum, a scale before a weight
    counted = audit(Calls(function), (torch.rand(1, 4), torch.rand(1, 4))).totals["multiplications"]
    assert counted == 8 + 8 + 5 + (4 + 4)


def test_a_size_that_the_data_decides_is_refused_in_any_graph() -> None:
    places = Node("places", "aten.nonzero.default", (Ref("x"),), shapes=((3, 1),), dtypes=(torch.int64,),
                  function=torch.ops.aten.nonzero.default)  # fmt: skip
    x = Node("x", "input", shapes=((3,),), dtypes=(torch.float32,))
    with pytest.raises(
        AuditError, match=r"aten.nonzero.default .* a size that the data decides.*torch.where"
    ):
        propagate(Graph([x, places], ("x",), ("places",), {}, 1, False, 0))
