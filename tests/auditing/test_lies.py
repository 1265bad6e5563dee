"""A domain that is declared and does not hold is refused, by its proof or by the data that shows it."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from auditing.nets import Fire, Net
from spikedrive.auditing import audit
from spikedrive.auditing.rules import RULES
from spikedrive.auditing.rules.neurons import fired
from spikedrive.errors import AuditError
from spikedrive.neurons import Neuron
from spikedrive.ops import domains
from spikedrive.ops.domain import Binary, Domain, Integer, Ternary


class Claimed(Neuron):
    """Emits what `function` gives, and says that it lies in `said`."""

    def __init__(self, said: Domain, function: object) -> None:
        super().__init__()
        self.said, self.function = said, function

    @property
    def domain(self) -> Domain:
        return self.said

    def rest(self, x: Tensor) -> None:
        return

    def scan(self, x: Tensor, state: None) -> tuple[Tensor, None]:
        return self.function(x), None  # type: ignore[operator]


LIES = {
    "a fifth level": (Integer(4), lambda x: x.clamp(0, 5).round(), "integer 0..5 between 0 and 5"),
    "half a spike": (Binary(), lambda x: (x > 0) * 0.5, r"binary 0..1 x 0.5 between 0 and 0.5"),
    "three tenths of a level": (Integer(4), lambda x: x.clamp(0, 4).round() * 0.3, "x 0.3 between 0 and 1.2"),
    "less than nothing": (Integer(4), lambda x: x.clamp(-1, 4).round(), "integer -1..4 between -1 and 4"),
    "a sign of a spike": (Binary(), torch.sign, "ternary -1..1 between -1 and 1"),
    "a level between two": (Integer(4), lambda x: x.clamp(0, 4), "image between 0 and 4"),
    "a shifted spike": (Binary(), lambda x: (x > 0) + 0.5, r"binary 0..1 between 0.5 and 1.5"),
    "another scale": (Binary(0.25), lambda x: (x > 0).float(), "binary 0..1 between 0 and 1"),
    "no bound at all": (Ternary(), lambda x: x.round(), "real between -inf and inf"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_neuron_that_emits_more_than_it_declares_is_refused(name: str) -> None:
    said, function, computed = LIES[name]
    model = Net(lambda x, inner: inner(x), inner=Fire(Claimed(said, function)))
    message = rf"module 'parts\.inner\.neuron' .*declares {re.escape(str(said))} and the graph computes .*{computed}"
    with pytest.raises(AuditError, match=message):
        audit(model, torch.rand(2, 3))


TRUTHS = {
    "fewer levels": (Integer(4), lambda x: x.clamp(0, 3).round()),
    "a spike by hand": (Binary(), lambda x: (x > 0).float()),
    "a scaled sign": (Ternary(0.3), lambda x: torch.sign(x) * 0.3),
    "integers of a finer scale": (Integer(8, 0.25), lambda x: (x > 0).float() * 2),
    "every second level": (Integer(4), lambda x: 2 * (x > 0)),
}


@pytest.mark.parametrize("name", TRUTHS)
def test_a_neuron_that_emits_what_it_declares_bounds_a_product(name: str) -> None:
    said, function = TRUTHS[name]
    model = Net(lambda x, fc, n: fc(x) * n(x), fc=nn.Linear(3, 3), n=Fire(Claimed(said, function)))
    assert audit(model, torch.rand(2, 3)).verdict == "additive"


@torch.library.custom_op("auditing_test::late", mutates_args=())
def late(x: Tensor, kind: int) -> tuple[Tensor, Tensor]:
    """Its equation is a spike; what it emits is something else for some `kind`."""
    spike = (x > 0).to(x.dtype)
    return (spike, 5 * spike, 0.5 * spike, -spike)[kind].clone(), x.clone()


late.register_fake(lambda x, kind: (torch.empty_like(x), torch.empty_like(x)))


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operation as a neuron that emits spikes."""
    name = "auditing_test.late.default"
    neuron = domains.NeuronOp(lambda arguments: Binary(), lambda x, kind: ((x > 0).to(x.dtype), x.clone()))
    monkeypatch.setitem(domains.NEURON_OPS._items, name, neuron)
    monkeypatch.setitem(RULES._items, name, lambda step: fired(step, comparisons=1, decay=0.0, carries=False))


def behind(kind: int) -> nn.Module:
    return Net(lambda x, fc: fc(late(x, kind)[0]), fc=nn.Linear(3, 2))


@pytest.mark.usefixtures("declared")
def test_an_operation_whose_data_are_what_it_declares_passes() -> None:
    result = audit(behind(0), torch.rand(2, 3), data=torch.randn(20, 3))
    assert (result.verdict, result.multiplication_free) == ("additive", True)


@pytest.mark.usefixtures("declared")
@pytest.mark.parametrize(
    ("kind", "range_"), [(1, "0 and 5"), (2, "0 and 0.5 that are not whole"), (3, "-1 and 0")]
)
def test_an_operation_whose_data_break_its_declaration_is_refused(kind: int, range_: str) -> None:
    assert audit(behind(kind), torch.rand(2, 3)).verdict == "additive"
    message = (
        r"neuron auditing_test\.late\.default in module .*test_lies\.py:\d+\) is declared binary 0\.\.1 and "
        f"gave numbers between {range_} on the data"
    )
    with pytest.raises(AuditError, match=message):
        audit(behind(kind), torch.rand(2, 3), data=torch.tensor([[1.0, -1.0, 2.0]]))


@pytest.mark.parametrize(
    ("said", "given", "range_"),
    [
        (Binary(), 2.0, "0 and 2"),
        (Binary(), 0.5, "0 and 0.5 that are not whole"),
        (Integer(4), -1.0, "-1 and 0"),
        (Integer(4, 0.25), 0.3, "0 and 0.3 that are not whole"),
    ],
)
def test_data_outside_of_the_domain_of_an_input_are_refused(said: Domain, given: float, range_: str) -> None:
    data = torch.tensor([[0.0, given, 0.0]])
    with pytest.raises(
        AuditError, match=f"input 0 is declared {said} and gave numbers between {range_} on the data"
    ):
        audit(nn.Linear(3, 2), torch.zeros(1, 3), data=data, inputs=(said,))


def test_more_domains_than_inputs_are_refused() -> None:
    with pytest.raises(AuditError, match="got 2 domains in `inputs`; the model has 1 inputs"):
        audit(nn.Linear(3, 2), torch.zeros(1, 3), inputs=(Binary(), None))


@torch.library.custom_op("auditing_test::opaque", mutates_args=())
def opaque(x: Tensor) -> Tensor:
    return x.clone()


opaque.register_fake(torch.empty_like)


def test_an_operation_that_nobody_knows_is_named_with_its_layer() -> None:
    class Layer(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return opaque(x)

    message = r"no rule for auditing_test\.opaque\.default in module 'parts\.layer' \(.*test_lies\.py:\d+\).*register"
    with pytest.raises(AuditError, match=message):
        audit(Net(lambda x, layer: layer(x), layer=Layer()), torch.rand(2, 3))
