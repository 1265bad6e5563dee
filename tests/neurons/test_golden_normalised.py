"""MPBN, Re-Loss and Hoyer equal their originals in fp64, gradients and running statistics included."""

from __future__ import annotations

import pytest
import torch

from spikedrive.neurons import MPBNLIF, MPRLIF, HoyerLIF, hoyer_regulariser, rectify


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def step_by_step(neuron, x):
    state, spikes, membranes = neuron.rest(x), [], []
    for x_t in x.split(1):
        y, state = neuron.scan(x_t, state)
        spikes.append(y)
        membranes.append(state)
    return torch.cat(spikes), torch.stack(membranes)


def trained(case: dict, **options) -> MPBNLIF:
    """In eval mode with the affine and the statistics of the file."""
    neuron = MPBNLIF(3, case["V"], eps=case["eps"], **options).double().eval()
    with torch.no_grad():
        neuron.weight.copy_(case["gamma"])
        neuron.bias.copy_(case["beta"])
    neuron.running_mean.copy_(case["running_mean"])
    neuron.running_var.copy_(case["running_var"])
    return neuron


@pytest.mark.parametrize("case", ["2d", "1d"])
def test_mpbn_in_eval_mode(case, golden) -> None:
    case = torch.load(golden("mpbn") / "cases.pt")[case]
    neuron = trained(case, decay=case["authors_style_leak"])
    spikes, membranes = step_by_step(neuron, case["x"])
    assert torch.equal(spikes, case["authors_style_spikes"])
    close(membranes, case["authors_style_u_after_reset"])
    folded = neuron.fold()
    close(folded.threshold, case["folded_threshold"])
    assert torch.equal(folded(case["x"]), spikes)


@pytest.mark.parametrize("case", ["2d", "1d"])
def test_mpbn_that_writes_back_in_eval_mode(case, golden) -> None:
    case = torch.load(golden("mpbn") / "cases.pt")[case]
    spikes, membranes = step_by_step(trained(case, decay=0.5, write_back=True, strict=False), case["x"])
    assert torch.equal(spikes, case["spikes_eval_SJ_norm_membrane"])
    close(membranes, case["v_seq_eval_SJ"])


def test_mpbn_in_training(golden) -> None:
    case = torch.load(golden("mpbn") / "cases.pt")["2d"]
    neuron = MPBNLIF(3, case["train_fire_level"]).double()
    x = case["x"].clone().requires_grad_()
    spikes = neuron(x)
    spikes.backward(case["train_upstream"])
    assert torch.equal(spikes, case["train_spikes"])
    close(x.grad, case["train_grad_x"])
    close(neuron.weight.grad, case["train_grad_gamma"])
    close(neuron.bias.grad, case["train_grad_beta"])
    close(neuron.running_mean, case["train_running_mean_after"])
    close(neuron.running_var, case["train_running_var_after"])


def test_the_membrane_rectifier(golden) -> None:
    case = torch.load(golden("reloss_mpr") / "cases.pt")
    u = case["z"].clone().requires_grad_()
    q = rectify(u)
    close(q, case["mpr"])
    close(torch.autograd.grad(q.sum(), u)[0], case["dmpr"])


def test_the_layer_with_the_membrane_rectifier(golden) -> None:
    case = torch.load(golden("reloss_mpr") / "cases.pt")
    x = case["x"].clone().requires_grad_()
    spikes, membranes = step_by_step(MPRLIF(), x)
    assert torch.equal(spikes, case["spikes"])
    close(membranes, case["u_after"])
    spikes.backward(case["upstream"])
    close(x.grad, case["grad_x"])


@pytest.mark.parametrize(
    ("options", "key"),
    [({}, "hoyer_thr_sum"), ({"extremum": "channel", "channels": 3}, "hoyer_thr_channelwise")],
)
def test_hoyer(options, key, golden) -> None:
    case = torch.load(golden("hoyer") / "cases.pt")
    neuron = HoyerLIF(**options).double()
    with torch.no_grad():
        neuron.threshold.copy_(case["V"])
    x = case["x"].clone().requires_grad_()
    spikes = neuron(x[None])[0]
    close(neuron.running / neuron.momentum, case[key])
    if not options:
        close(neuron.running, case["running_thr_after_1"])
        assert torch.equal(spikes, case["spikes"])
        spikes.backward(case["upstream"])
        close(x.grad, case["grad_x"])
        close(neuron.threshold.grad, case["grad_V"])


def test_the_hoyer_regulariser(golden) -> None:
    case = torch.load(golden("hoyer") / "cases.pt")
    x = case["x"].clone().requires_grad_()
    measure = hoyer_regulariser(x, case["V"])
    close(measure, case["hoyer_reg"])
    close(torch.autograd.grad(measure, x)[0], case["grad_x_reg"])
