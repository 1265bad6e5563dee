"""Neurons without an original to compare with equal their equations, and wrong arguments are refused."""

from __future__ import annotations

import pytest
import torch

from spikedrive.errors import ConfigError, ShapeError, UnknownNameError
from spikedrive.neurons import (
    ALIF,
    CLIF,
    EIF,
    GLIF,
    KLIF,
    LIF,
    PSN,
    QIF,
    TCLIF,
    Izhikevich,
    MaskedPSN,
    SlidingPSN,
)  # fmt: skip
from spikedrive.state import run


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64) + 0.5


@pytest.mark.parametrize("subtract_base", [True, False])
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("scale_trace", [True, False])
def test_the_adaptive_threshold(scale_trace, reset, subtract_base) -> None:
    neuron = ALIF(
        0.75,
        0.5,
        trace_decay=0.9,
        beta=0.4,
        reset=reset,
        scale_trace=scale_trace,
        subtract_base=subtract_base,
    )
    x = noise(12, 3, 7)
    v, a = torch.zeros(3, 7, dtype=torch.float64), torch.zeros(3, 7, dtype=torch.float64)
    for x_t, spikes in zip(x, neuron(x), strict=True):
        v = 0.75 * v + 0.25 * x_t
        level = 0.5 + 0.4 * a
        s = (v >= level).double()
        assert torch.equal(spikes, s)
        v = v * (1 - s) if reset == "hard" else v - (0.5 if subtract_base else level) * s
        a = 0.9 * a + (0.1 if scale_trace else 1.0) * s
    assert a.max() > 0


def test_an_adaptive_threshold_that_does_not_rise_is_a_leaky_neuron() -> None:
    x = noise(9, 2, 5)
    assert torch.equal(ALIF(beta=0.0, reset="hard")(x), LIF()(x))


def test_the_two_compartments() -> None:
    neuron = TCLIF(0.8, reset_dendrite=0.3).double()
    with torch.no_grad():
        neuron.c1.fill_(-0.5)
        neuron.c2.fill_(0.25)
    b1, b2 = -neuron.c1.sigmoid(), neuron.c2.sigmoid()
    x = noise(10, 2, 6)
    # as the paper writes it: the spike of the step before is taken off while charging
    u = v = s = torch.zeros(2, 6, dtype=torch.float64)
    for x_t, spikes in zip(x, neuron(x), strict=True):
        u_before = u - 0.3 * s
        v_before = v - 0.8 * s
        u = u_before + b1 * v_before + x_t
        v = v_before + b2 * u
        s = (v >= 0.8).double()
        assert torch.equal(spikes, s)


def test_gates_of_a_layer_are_those_of_equal_channels() -> None:
    torch.manual_seed(1)
    one, each = GLIF(5), GLIF(5, 3)
    with torch.no_grad():
        for name, parameter in each.named_parameters():
            own = getattr(one, name)
            parameter.copy_(own[:, None] if own.dim() else own)
    x = torch.randn(5, 2, 3, 4, 4)
    assert torch.equal(one(x), each(x)) and one(x).any()


def test_a_parallel_neuron_sees_later_steps_and_a_masked_one_does_not() -> None:
    x = torch.randn(6, 1, 200)
    late = x.clone()
    late[4:] += 3
    parallel, masked = PSN(6), MaskedPSN(6, 3)
    masked.load_state_dict(parallel.state_dict())
    with torch.no_grad():
        parallel.bias.zero_()
        masked.bias.zero_()
    assert not torch.equal(parallel(x)[:4], parallel(late)[:4])
    assert torch.equal(masked(x)[:4], masked(late)[:4])
    masked.mix = 0.0
    assert torch.equal(masked(x), parallel(x))
    assert masked.refuses_streaming == "at mix 0 each of its spikes depends on later inputs"


def test_a_masked_neuron_with_equal_rows_is_a_sliding_one() -> None:
    masked, sliding = MaskedPSN(6, 3).double(), SlidingPSN(3).double()
    with torch.no_grad():
        for lag in range(3):
            masked.weight.diagonal(-lag).fill_(float(sliding.weight[2 - lag]))
    x = noise(6, 2, 50)
    assert torch.equal(masked(x), sliding(x)) and masked(x).any()


def test_the_window_of_a_sliding_neuron_halves_with_every_step_back() -> None:
    assert SlidingPSN(4).weight.tolist() == [0.125, 0.25, 0.5, 1.0]
    assert SlidingPSN(4, exponential=False).weight.abs().max() <= 0.5


def test_steps_are_counted_over_chunks() -> None:
    for neuron in (GLIF(4), MaskedPSN(4)):
        model = torch.nn.Sequential(neuron)
        _, state = run(model, torch.randn(3, 2, 5))
        with pytest.raises(
            ShapeError,
            match=r"got 5 steps( in all)?; it takes 4, for which it has .* construct \w+\(steps=5\)",
        ):
            run(model, torch.randn(2, 2, 5), state)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: QIF(tau=-2), ConfigError, r"QIF got tau=-2; it takes a number above 1\. Change tau"),
        (lambda: QIF(a0=0), ConfigError, r"QIF got a0=0"),
        (lambda: QIF(threshold=0), ConfigError, r"QIF got threshold=0; it takes a number above 0"),
        (lambda: QIF(reset="none"), UnknownNameError, r"no reset named 'none'"),
        (lambda: Izhikevich(tau_w=0), ConfigError, r"Izhikevich got tau_w=0"),
        (lambda: Izhikevich(tau=float("nan")), ConfigError, r"Izhikevich got tau=nan"),
        (lambda: EIF(delta=0), ConfigError, r"EIF got delta=0; it takes a number above 0"),
        (lambda: EIF(tau=1), ConfigError, r"EIF got tau=1"),
        (lambda: KLIF(k=0), ConfigError, r"KLIF got k=0"),
        (lambda: KLIF(decay=2), ConfigError, r"KLIF got decay=2"),
        (lambda: CLIF(decay=-1), ConfigError, r"CLIF got decay=-1"),
        (lambda: CLIF(threshold=0), ConfigError, r"CLIF got threshold=0"),
        (lambda: ALIF(trace_decay=1.1), ConfigError, r"ALIF got trace_decay=1\.1"),
        (lambda: ALIF(beta=-1), ConfigError, r"ALIF got beta=-1"),
        (lambda: TCLIF(threshold=0), ConfigError, r"TCLIF got threshold=0"),
        (lambda: TCLIF(reset_dendrite=-1), ConfigError, r"TCLIF got reset_dendrite=-1"),
        (lambda: GLIF(steps=0), ConfigError, r"GLIF got steps=0; it takes a number at least 1"),
        (lambda: GLIF(leak=1.0), ConfigError, r"GLIF got leak=1\.0; it takes a number at least 1e-06 and at most"),
        (lambda: GLIF(channels=0), ConfigError, r"GLIF got channels=0"),
        (lambda: PSN(0), ConfigError, r"PSN got steps=0"),
        (lambda: MaskedPSN(4, 5), ConfigError, r"MaskedPSN got order=5; it takes a number at least 1 and at most 4"),
        (lambda: MaskedPSN(mix=1.5), ConfigError, r"MaskedPSN got mix=1\.5"),
        (lambda: SlidingPSN(0), ConfigError, r"SlidingPSN got order=0"),
        (lambda: PSN(4)(torch.zeros(3, 1, 1)), ShapeError, r"PSN got 3 steps; it takes 4.* Give 4 steps, or construct"),
        (lambda: MaskedPSN(4, mix=0.5)(torch.zeros(3, 1, 1)), ShapeError, r"MaskedPSN got 3 steps; it takes 4"),
        (lambda: GLIF(4, 3)(torch.zeros(4, 1, 2)), ShapeError, r"GLIF got x of shape .* \(T, B, 3, \.\.\.\).* Give"),
        (lambda: ALIF()(torch.zeros(5)), ShapeError, r"ALIF got x of shape \(5,\); it takes \(T, B, \.\.\.\)"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_refused(make, error, message, unchecked) -> None:
    with pytest.raises(error, match=message):
        make()
