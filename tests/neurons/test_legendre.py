"""Legendre memory: its matrices, and that it remembers."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from spikedrive.errors import ConfigError, ShapeError
from spikedrive.neurons import L2MU, LIF, LMU, LegendreMemory, SpikingLMU
from spikedrive.neurons.legendre import legendre_matrices
from spikedrive.state import run


def _continuous(order: int, window: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The matrices of the differential equation, element by element."""
    a, b = torch.zeros(order, order, dtype=torch.float64), torch.zeros(order, dtype=torch.float64)
    for i in range(order):
        b[i] = (2 * i + 1) / window * (-1) ** i
        for j in range(order):
            a[i, j] = (2 * i + 1) / window * (-1 if i < j else (-1) ** (i - j + 1))
    return a, b


@pytest.mark.parametrize(("order", "window"), [(1, 4.0), (4, 7.0), (7, 10.0), (12, 128.0)])
def test_the_matrices_hold_the_input_over_one_step(order, window) -> None:
    a, b = _continuous(order, window)
    found_a, found_b = legendre_matrices(order, window)
    # Runge-Kutta of fourth order over one step, from each unit vector and from the input alone
    steps = 2000
    m = torch.cat([torch.eye(order, dtype=torch.float64), torch.zeros(order, 1, dtype=torch.float64)], 1)
    u = torch.zeros(1, order + 1, dtype=torch.float64)
    u[0, -1] = 1

    def slope(m):
        return a @ m + b[:, None] * u

    h = 1 / steps
    for _ in range(steps):
        k1 = slope(m)
        k2 = slope(m + h / 2 * k1)
        k3 = slope(m + h / 2 * k2)
        m = m + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(m + h * k3))
    torch.testing.assert_close(found_a, m[:, :order], rtol=0, atol=1e-9)
    torch.testing.assert_close(found_b, m[:, order], rtol=0, atol=1e-9)


def test_it_recalls_what_was_there_within_its_window() -> None:
    window, memory = 64.0, LegendreMemory(order=12, window=64.0).double()
    memory.A, memory.B = legendre_matrices(12, window)
    t = torch.arange(400, dtype=torch.float64)
    signal = torch.sin(2 * math.pi * t / 90) + 0.5 * torch.sin(2 * math.pi * t / 53 + 1)
    m = memory(signal.view(-1, 1, 1))[200:, 0]
    for steps in (0, 16, 32, 48, 63):
        wanted = signal[200 - steps : 400 - steps]
        assert float((memory.recall(m, steps + 0.5) - wanted).abs().max()) < 0.02, steps


def test_more_orders_recall_more() -> None:
    t = torch.arange(300, dtype=torch.float64)
    signal = torch.sin(2 * math.pi * t / 40)
    errors = []
    for order in (3, 6, 12):
        memory = LegendreMemory(order=order, window=60.0).double()
        m = memory(signal.view(-1, 1, 1))[150:, 0]
        errors.append(float((memory.recall(m, 30.5) - signal[120:270]).abs().mean()))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.1 * errors[0]


@pytest.mark.parametrize("steps", [1, 2, 17])
def test_the_parallel_form_equals_the_recurrent_one(steps) -> None:
    x = torch.randn(steps, 3, 2, dtype=torch.float64, requires_grad=True)
    found = []
    for parallel in (False, True):
        memory = LegendreMemory(2, order=5, window=9.0, parallel=parallel).double()
        m0 = torch.linspace(-1, 1, 30, dtype=torch.float64).view(3, 2, 5)
        y, last = memory.scan(x, m0)
        found.append((y, last, *torch.autograd.grad((y**2).sum(), x)))
    for recurrent, parallel in zip(*found, strict=True):
        torch.testing.assert_close(parallel, recurrent, rtol=0, atol=1e-9)


def test_the_unit_reads_its_memory_beside_the_input() -> None:
    cell, x = LMU(3, 5, order=4, window=8.0).double(), torch.randn(6, 2, 3, dtype=torch.float64)
    a, b = legendre_matrices(4, 8.0)
    m, expected = torch.zeros(2, 4, dtype=torch.float64), []
    for x_t in x:
        u = torch.relu(x_t @ cell.write.weight.T + cell.write.bias)
        m = m @ a.T + u * b
        read = torch.cat([m, x_t], 1) @ cell.read.weight.T + cell.read.bias
        expected.append(torch.relu(read))
    # the matrices of the cell were rounded to fp32
    torch.testing.assert_close(cell(x), torch.stack(expected), rtol=0, atol=1e-5)


def test_the_spiking_unit_emits_spikes_and_streams() -> None:
    cell = SpikingLMU(3, 6, order=4, window=8.0, neuron=partial(LIF, threshold=0.2))
    x = (torch.rand(9, 4, 3) < 0.5).float()
    for _ in range(5):
        cell(x)
    cell.eval()
    whole, parts, state = cell(x), [], None
    for part in x.split([1, 5, 3]):
        y, state = run(cell, part, state)
        parts.append(y)
    assert torch.equal(torch.cat(parts), whole)
    assert whole.unique().tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    "cell", [LegendreMemory, lambda **k: LMU(2, 3, **k), lambda **k: L2MU(2, 3, memories=2, **k)]
)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"order": 0, "window": 5}, r"got order=0; it takes a number at least 1. Change order"),
        ({"order": 3, "window": 0}, r"got window=0; it takes a number above 0"),
    ],
)
def test_a_wrong_argument_is_refused(cell, arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        cell(**arguments)


def test_what_lies_outside_the_window_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"recall got delay=9; it takes a number at least 0 and at most 8"):
        LegendreMemory(order=3, window=8.0).recall(torch.zeros(3), 9)
    with pytest.raises(
        ShapeError, match=r"LegendreMemory got x of shape \(4, 1, 3\); it takes \(T, B, ..., 1\)"
    ):
        LegendreMemory(order=3, window=8.0)(torch.zeros(4, 1, 3))
