"""What the audit says of random networks is checked against an execution that watches every value."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from torch import Tensor

from auditing.instrument import Watch
from auditing.random_nets import DOMAINS, Program, Random, inputs_of, programs
from spikedrive.auditing import Audit, audit, spread
from spikedrive.auditing.bounds import Proof, propagate
from spikedrive.auditing.rules import RULES
from spikedrive.auditing.trace import Graph, evaluate, trace
from spikedrive.auditing.value import Value

SAMPLES = 24


def check(program: Program) -> None:
    """Domains, intervals, products, counts and verdict of one network, on three sets of random inputs."""
    net = Random(program).eval()
    graph = trace(net, inputs_of(1, 0), dynamic=False, decompose=lambda op: op not in RULES)
    proof = propagate(graph, DOMAINS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spikedrive.auditing.verdict.trace", lambda *_, **__: graph)
        data = inputs_of(4, 1)
        measured = audit(net, inputs_of(1, 0), data=data, inputs=DOMAINS)
        worst = audit(net, inputs_of(1, 0), inputs=DOMAINS)
    assert measured.verdict == worst.verdict
    expected = torch.zeros((), dtype=torch.float64)
    for sample in range(4):
        values = executed(graph, tuple(x[sample : sample + 1] for x in data))
        for node in graph:
            if isinstance(proof.values[node.name], Value) and node.op != "constant":
                holds(node.op, proof.value(node.name), values[node.name])
        expected += added(proof, values)
    rows = [row for row in measured.layers if row.op in LAYERS and row.kind.endswith("x weight")]
    assert sum(row.additions for row in rows if "real" not in row.kind) == pytest.approx(float(expected) / 4)
    assert all(
        a.additions <= b.additions * (1 + 1e-6) for a, b in zip(measured.layers, worst.layers, strict=True)
    )
    agrees(worst, watched(net))


def executed(graph: Graph, inputs: tuple[Tensor, ...]) -> dict[str, Any]:
    """Every value of the graph."""
    values: dict[str, Any] = {**graph.constants, **dict(zip(graph.inputs, inputs, strict=True))}
    for node in graph:
        if node.name not in values:
            values[node.name] = evaluate(node, values, graph.batch)
    return values


def holds(op: str, value: Value, seen: Tensor) -> None:
    """The interval holds every element, and the integers are whole and within theirs."""
    seen = seen.double()
    slack = 1e-5 * (1 + float(seen.abs().max()))
    assert bool((seen >= value.low - slack).all()), op
    assert bool((seen <= value.high + slack).all()), op
    if value.base == "integer" and value.integers is not None:
        n = (seen - value.offset) / torch.where(value.gain == 0, torch.inf, value.gain)
        torch.testing.assert_close(n, n.round(), atol=1e-4, rtol=1e-6)
        assert value.integers.low <= n.round().min(), op
        assert n.round().max() <= value.integers.high, op
    if value.base == "constant":
        torch.testing.assert_close(value.literal.expand(seen.shape), seen, atol=1e-5, rtol=1e-5)


LAYERS = ("aten.conv2d.default", "aten.linear.default")


def added(proof: Proof, values: dict[str, Any]) -> Tensor:
    """The additions that integers cause in convolutions and linear layers, by a layer of ones."""
    total = torch.zeros((), dtype=torch.float64)
    for node in proof.graph:
        if node.op not in LAYERS:
            continue
        x = proof.value(node.args[0].name)
        n = units(x, values[node.args[0].name], -1 if node.op == "aten.linear.default" else 1)
        if n is None:
            continue
        ones = torch.ones_like(values[node.args[1].name], dtype=torch.float64)
        if node.op == "aten.linear.default":
            total += F.linear(n, ones).sum()
        else:
            total += F.conv2d(n, ones, None, *node.args[3:]).sum()
    return total


def units(x: Value, seen: Tensor, channels: int) -> Tensor | None:
    """The integers of x as a layer meets them, each in units of what it is a multiple of; None where it is real."""
    if x.base != "integer" or x.origin == "product":
        return None
    gain = torch.where(x.gain == 0, torch.inf, x.gain)
    if not spread.varies_only_along(x.gain, [channels % x.rank]):
        if x.has_offset or not spread.is_power_of_two(x.gain):
            return None
        # signs and powers of two a place make integers of the smallest
        gain = gain.abs().amin()
    return ((seen.double() - x.offset) / gain).abs()


def watched(net: Random) -> Watch:
    """The products of one execution on many samples, in double precision."""
    inputs = tuple(x.double() for x in inputs_of(SAMPLES, 2))
    twin = Random(net.program).eval().double()
    with torch.no_grad(), Watch(inputs) as watch:
        twin(*inputs)
    return watch


def agrees(said: Audit, watch: Watch) -> None:
    """An additive network multiplies no two real numbers; one that is not does multiply."""
    if said.verdict == "additive":
        for product in watch.products:
            assert not (product.of_two_values and product.of_reals), product.op
            assert not product.weighs_reals, product.op
    else:
        # nothing but products of values, layers, functions and constants can make it so
        assert said.exceptions
        assert watch.products or all(left.kind == "real x constant" for left in said.exceptions)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(programs(6))
def test_random_networks_are_what_the_audit_says(program: Program) -> None:
    check(program)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, database=None)
@given(programs(12))
def test_many_random_networks_are_what_the_audit_says(program: Program) -> None:
    check(program)
