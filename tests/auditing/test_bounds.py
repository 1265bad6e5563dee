"""What the audit says of every value is true of every value: the graphs are run and watched."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from auditing.corpus import CORPUS
from auditing.corpus.traced import example_of, graph_of
from auditing.nets import SPIKES, Case, Fire, Net
from spikedrive.auditing import audit
from spikedrive.auditing.bounds import declared_domains, propagate
from spikedrive.auditing.rules.linear import accumulator_bits
from spikedrive.auditing.trace import evaluate, trace
from spikedrive.auditing.value import Value
from spikedrive.errors import AuditError
from spikedrive.neurons import IF, ILIF, Neuron
from spikedrive.ops import domains
from spikedrive.ops.domain import Binary, Domain, Integer


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_every_value_lies_where_the_audit_says(case: Case) -> None:
    graph = graph_of(case)
    proof = propagate(graph, case.inputs)
    for batch in (3,) if graph.dynamic else (graph.batch,) * 3:
        seen = {**graph.constants, graph.inputs[0]: example_of(case, batch)}
        for node in graph:
            if node.name not in seen:
                seen[node.name] = evaluate(node, seen, batch)
            if isinstance(proof.values[node.name], Value) and node.op != "constant":
                _check(proof.value(node.name), seen[node.name])


def _check(value: Value, seen: Tensor) -> None:
    if seen.is_complex():
        return
    seen = seen.double()
    # the model computes in fp32
    slack = 1e-5 * (1 + float(seen.abs().max()))
    assert float(seen.min()) >= float(value.low.amin()) - slack
    assert float(seen.max()) <= float(value.high.amax()) + slack
    if value.base == "integer" and value.integers is not None and bool((value.gain != 0).all()):
        n = (seen - value.offset) / value.gain
        torch.testing.assert_close(n, n.round(), atol=1e-4, rtol=1e-6)
        assert value.integers.low <= n.round().min()
        assert n.round().max() <= value.integers.high
    if value.base == "integer" and value.levels is not None:
        assert value.origin == "fired"


def test_bounds_of_a_convolution_are_reached() -> None:
    conv = nn.Conv2d(2, 3, 1)
    graph = trace(conv, torch.zeros(1, 2, 1, 1))
    value = propagate(graph, SPIKES).value(graph.outputs[0])
    corners = torch.cartesian_prod(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0])).reshape(4, 2, 1, 1)
    outputs = conv(corners).detach().double()
    torch.testing.assert_close(value.low[0, :, 0, 0], outputs.amin((0, 2, 3)))
    torch.testing.assert_close(value.high[0, :, 0, 0], outputs.amax((0, 2, 3)))


def test_accumulator_bits_hold_the_extreme_sums() -> None:
    # 127 * 4 * 3 inputs = 1524 needs 11 bits and a sign
    assert accumulator_bits(torch.full((1, 3), 0.7), 0, 4) == 12
    # beside it, three negative weights reach -1524
    assert accumulator_bits(torch.tensor([[0.7, 0.7, 0.7], [-1.0, -1.0, -1.0]]), 0, 4) == 12
    assert accumulator_bits(torch.full((1, 3), 0.7), 0, 1) == 10


def test_an_operation_without_a_rule_is_named_with_its_line() -> None:
    with pytest.raises(
        AuditError, match=r"no rule for aten.digamma.default in module .*test_bounds.py:\d+\).*register"
    ):
        audit(Net(lambda x: torch.digamma(x)), torch.rand(2, 3))


@torch.library.custom_op("auditing_test::secret", mutates_args=())
def secret(x: Tensor) -> Tensor:
    return x * x


secret.register_fake(torch.empty_like)


def test_a_custom_operation_is_never_free() -> None:
    with pytest.raises(AuditError, match=r"no rule for auditing_test\.secret\.default"):
        audit(Net(lambda x: secret(x)), torch.rand(2, 3))


class Boastful(Neuron):
    """Says that it is binary and emits 0..3."""

    @property
    def domain(self) -> Domain:
        return Binary()

    def rest(self, x: Tensor) -> None:
        return

    def scan(self, x: Tensor, state: None) -> tuple[Tensor, None]:
        return x.clamp(0, 3).round(), None


class Vague(Boastful):
    """Says that it is binary and emits real numbers."""

    def scan(self, x: Tensor, state: None) -> tuple[Tensor, None]:
        return x.clamp(0, 1), None


@pytest.mark.parametrize(
    ("neuron", "range_"), [(Boastful, r"integer 0\.\.3 between 0 and 3"), (Vague, "real|image")]
)
def test_a_neuron_that_lies_about_its_domain_is_refused(neuron: type[Neuron], range_: str) -> None:
    with pytest.raises(AuditError, match=f"declares binary 0..1 and the graph computes .*({range_})"):
        audit(Fire(neuron()), torch.rand(2, 3))


def test_an_operation_that_lies_about_its_domain_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = domains.NEURON_OPS["spikedrive.ilif_scan.default"]
    lying = domains.NeuronOp(lambda arguments: Binary(), honest.decomposition)
    monkeypatch.setitem(domains.NEURON_OPS._items, "spikedrive.ilif_scan.default", lying)
    with pytest.raises(
        AuditError, match=r"declares binary 0\.\.1 and its plain form can emit integer 0\.\.4"
    ):
        audit(Fire(ILIF()), torch.rand(2, 3))


def test_honest_declarations_pass() -> None:
    model = Net(lambda x, a, b: b(a(x)), a=Fire(IF()), b=Fire(ILIF(scale=0.25)))
    domains_ = declared_domains(model)
    proof = propagate(trace(model, torch.rand(2, 3)), declared=domains_)
    assert domains_["parts.b.neuron"] == Integer(4, 0.25)
    assert proof.value(proof.graph.outputs[0]).levels == 4


class Rounded(Boastful):
    """An honest neuron in plain PyTorch, 0..3."""

    @property
    def domain(self) -> Domain:
        return Integer(3)


def test_a_declared_neuron_bounds_a_product_and_rounding_by_hand_does_not() -> None:
    def squares(x: Tensor, n: nn.Module) -> Tensor:
        y = n(x)
        return y @ y.transpose(1, 2)

    by_neuron = audit(Net(squares, n=Fire(Rounded())), torch.rand(1, 5, 6))
    by_hand = audit(Net(squares, n=Net(lambda x: x.clamp(0, 3).round())), torch.rand(1, 5, 6))
    assert (by_neuron.verdict, by_neuron.totals["additions"]) == ("additive", 3 * 150)
    assert (by_hand.verdict, by_hand.totals["multiplications"]) == ("gated-additive", 150)


def test_integers_beyond_fp64_are_real() -> None:
    def grow(x: Tensor) -> Tensor:
        for _ in range(11):
            x = (x.sum(1, keepdim=True) + x) * x.clamp(0, 31)
        return x

    graph = trace(Net(grow), torch.ones(1, 4))
    assert propagate(graph, (Domain(0, 31),)).value(graph.outputs[0]).base == "real"
