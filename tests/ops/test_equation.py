"""A scan defined by its equation alone is a whole operation."""

from __future__ import annotations

import pytest
import torch
from torch.library import opcheck

from spikedrive.errors import ConfigError
from spikedrive.ops import domains, equation
from spikedrive.ops.domain import Binary

SCHEMA = "(Tensor x, Tensor v, Tensor gain, float tau) -> (Tensor, Tensor)"


def quadratic(x, v, gain, tau):
    out = []
    for x_t in x.unbind(0):
        h = v + (x_t + gain * v * (v - 0.8)) / tau
        s = equation.fire(h - 1.0, "atan", 2.0)
        v = equation.reset(h, s, 1.0, hard=True, value=-0.1, detach=False)
        out.append(s)
    return torch.stack(out), v


@pytest.fixture(scope="module")
def op():
    yield equation.define("test_quadratic_scan", SCHEMA, quadratic, domain=lambda arguments: Binary())
    # the registries are the process's own: other tests count what is in them
    domains.NEURON_OPS._items.pop("spikedrive.test_quadratic_scan.default", None)


@pytest.fixture
def given():
    return (
        torch.randn(4, 3, 5, requires_grad=True), torch.randn(3, 5, requires_grad=True),
        torch.tensor(1.0, requires_grad=True), 2.0,
    )  # fmt: skip


def test_torch_accepts_the_registration(op, given) -> None:
    assert set(opcheck(op, given).values()) == {"SUCCESS"}


def test_the_gradient_is_that_of_the_equation(op, given) -> None:
    found, expected = (
        torch.autograd.grad(y.sum() + (v * v).sum(), given[:3]) for y, v in (op(*given), quadratic(*given))
    )
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b) and b.abs().sum() > 0


def test_outputs_never_share_memory_with_inputs(op) -> None:
    x, v = torch.zeros(0, 3, 5), torch.randn(3, 5)
    first = equation.define(
        "test_passing_scan",
        "(Tensor x, Tensor v) -> (Tensor, Tensor)",
        lambda x, v: (x, v),
        domain=lambda a: Binary(),
    )
    domains.NEURON_OPS._items.pop("spikedrive.test_passing_scan.default", None)
    y, last = first(x, v)
    assert torch.equal(last, v) and last.data_ptr() != v.data_ptr() and y.shape == x.shape


def test_vmap_is_refused_with_what_to_do(op, given) -> None:
    _, v, gain, tau = given
    with pytest.raises(
        ConfigError, match=r"test_quadratic_scan got a tensor mapped by torch.vmap; .* Put the mapped"
    ):
        torch.vmap(lambda x: op(x, v, gain, tau)[0])(torch.randn(2, 4, 3, 5))
