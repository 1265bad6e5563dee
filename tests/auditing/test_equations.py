"""A neuron whose operation has no rule of its own is audited as its equation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from auditing.nets import Net
from spikedrive.auditing import audit
from spikedrive.errors import AuditError
from spikedrive.neurons import Neuron
from spikedrive.ops import equation
from spikedrive.ops.domain import Binary, Domain


def _leaky(x: Tensor, v: Tensor, decay: float, size: float) -> tuple[Tensor, Tensor]:
    spikes = []
    for x_t in x.unbind(0):
        h = decay * v + x_t
        s = equation.fire(h - 1.0, "atan", 2.0)
        v = equation.reset(h, s, 1.0, True, 0.0, True)
        spikes.append(size * s)
    return torch.stack(spikes), v


leaky = equation.define(
    "audited_as_its_equation",
    "(Tensor x, Tensor v, float decay, float size) -> (Tensor, Tensor)",
    _leaky,
    domain=lambda _: Binary(),
)


class Leaky(Neuron):
    """A neuron of the test's own."""

    def __init__(self, decay: float, size: float = 1.0) -> None:
        super().__init__()
        self.decay, self.size = decay, size

    @property
    def domain(self) -> Domain:
        return Binary()

    def rest(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[0])

    def scan(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return leaky(x, state, self.decay, self.size)


def _audited(neuron: nn.Module):
    net = Net(lambda x, n, fc: fc(n(x)), n=neuron, fc=nn.Linear(5, 2, bias=False))
    return audit(net, torch.randn(3, 1, 5), batch_axis=1)


def test_a_leak_that_is_a_shift_leaves_it_additive() -> None:
    result = _audited(Leaky(0.5))
    assert result.verdict == "additive"
    assert result.totals["additions"] == 3 * 5 * 2


def test_a_leak_that_is_none_is_named() -> None:
    result = _audited(Leaky(0.3))
    assert result.verdict == "hybrid"
    # the first step leaks from rest, which is nothing
    assert [(e.module, e.kind, e.count) for e in result.exceptions] == [("parts.n", "real x constant", 5)] * 2


def test_a_declaration_that_its_equation_breaks_is_refused() -> None:
    with pytest.raises(
        AuditError, match=r"The neuron .*declares binary 0\.\.1 and the graph computes binary 0\.\.1 x 3"
    ):
        _audited(Leaky(0.5, size=3.0))
