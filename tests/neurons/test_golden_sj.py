"""Every neuron of SpikingJelly 2.0.0 that has a twin here: spikes, membranes and the gradients of two losses, fp64."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from spikedrive.neurons import Neuron
from spikedrive.neurons.complementary import CLIF
from spikedrive.neurons.exponential import EIF
from spikedrive.neurons.gated import GLIF
from spikedrive.neurons.integer import ILIF
from spikedrive.neurons.klif import KLIF
from spikedrive.neurons.lif import IF, LIF, PLIF
from spikedrive.neurons.parallel import PSN, MaskedPSN, SlidingPSN
from spikedrive.neurons.quadratic import QIF, Izhikevich
from spikedrive.neurons.ternary import TernaryLIF
from spikedrive.ops import surrogate

SURROGATES = {
    "Sigmoid": surrogate.sigmoid(), "ATan": surrogate.atan(), "Rect": surrogate.rectangular(),
    "PiecewiseQuadratic": surrogate.triangle(),
}  # fmt: skip
FAMILY = ("IF", "LIF_di1", "LIF_di0", "PLIF_di1", "PLIF_di0")
NAMES = [
    # learned leaks were recorded with two surrogates only
    *(f"{n}_{s}_{r}_det{d}" for n, s, r, d in product(FAMILY, SURROGATES, ("hard0", "hardneg", "soft"), (0, 1))
      if not (n.startswith("PLIF") and s in ("Rect", "PiecewiseQuadratic"))),
    *(f"{n}_{r}_det{d}" for n, r, d in product(("QIF", "EIF", "Izh"), ("hardneg", "soft"), (0, 1))),
    *(f"KLIF_scale{s}_det{d}" for s, d in product((0, 1), (0, 1))),
    "CLIF", "GLIF_inplane2", "PSN", "MaskedPSN_k3_lambda0.0", "MaskedPSN_k3_lambda0.5",
    "MaskedPSN_k3_lambda1.0", "SlidingPSN_k3", "TernaryLIF_hard", "TernaryLIF_soft", "ILIF_D4",
]  # fmt: skip

GLIF_NAMES = {
    "tau": "leak", "v_threshold": "threshold", "linear_decay": "linear_leak", "v_subreset": "reset_amount",
    "conduct": "conductance",
}  # fmt: skip


def twin(c: dict) -> Neuron:
    """Our neuron with the arguments of the original."""
    fire = {"surrogate": SURROGATES.get(c.get("surrogate", ""))}
    if "v_reset" in c:
        fire["reset"] = "soft" if c["v_reset"] is None else "hard"
        fire["reset_value"] = c["v_reset"] or 0.0
    if "detach_reset" in c:
        fire["detach_reset"] = c["detach_reset"]
    decay, threshold = 1 - 1 / c.get("tau", 1.0), c.get("v_threshold")
    match c["neuron"]:
        case "IFNode":
            return IF(threshold, **fire)
        case "LIFNode":
            return LIF(decay, threshold, decay_input=c["decay_input"], **fire)
        case "ParametricLIFNode":
            return PLIF(c["init_tau"], threshold, decay_input=c["decay_input"], **fire)
        case "QIFNode":
            return QIF(c["tau"], threshold, a0=c["a0"], v_rest=c["v_rest"], v_c=c["v_c"], **fire)
        case "EIFNode":
            return EIF(
                c["tau"], threshold, delta=c["delta_T"], v_rest=c["v_rest"], v_onset=c["theta_rh"], **fire
            )
        case "IzhikevichNode":
            own = {key: c[key] for key in ("a0", "v_rest", "v_c", "w_rest", "tau_w", "a", "b")}
            return Izhikevich(c["tau"], threshold, **own, **fire)
        case "KLIFNode":
            own = {key: c[key] for key in ("k", "scale_reset", "decay_input")}
            return KLIF(decay, threshold, **own, **fire)
        case "TernaryLIFNode":
            return TernaryLIF(decay, threshold, decay_input=c["decay_input"], detach_reset=False, **fire)
        case "ILIFNode":
            return ILIF(c["max_spike_count"], threshold, carry=True, decay=decay, detach_reset=False)
        case "ComplementaryLIFNode":
            return CLIF(decay, threshold, **fire)
        case "GatedLIFNode":
            own = {
                "leak": c["init_tau"],
                "threshold": c["init_v_threshold"],
                "conductance": c["init_conduct"],
            }
            return GLIF(c["T"], c["inplane"], **own)
        case "PSN":
            return PSN(c["T"], **fire)
        case "MaskedPSN":
            return MaskedPSN(c["T"], c["k"], mix=c["lambda_"], **fire)
        case _:
            return SlidingPSN(c["k"], exponential=c["exp_init"], **fire)


def step_by_step(neuron: Neuron, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Spikes, and what is carried first after each step (the membrane, where there is one)."""
    if neuron.refuses_streaming:
        return neuron(x), None
    state, spikes, carried = neuron.rest(x), [], []
    for x_t in x.split(1):
        y, state = neuron.scan(x_t, state)
        spikes.append(y)
        carried.append(state[0] if isinstance(state, tuple) else state)
    return torch.cat(spikes), torch.stack(carried)


@pytest.fixture(scope="module")
def cases(golden) -> dict:
    return torch.load(golden("sj_neurons") / "cases.pt")


@pytest.mark.parametrize("name", NAMES)
def test_spikes_membranes_and_gradients_equal_the_original(name, cases) -> None:
    case = cases[name]
    neuron = twin(case["config"]).double()
    names = GLIF_NAMES if isinstance(neuron, GLIF) else {}
    parameters = dict(neuron.named_parameters())
    with torch.no_grad():
        for key, value in case["params"].items():
            parameters[names.get(key, key)].copy_(value)
    assert set(parameters) == {names.get(key, key) for key in case["params"]}
    x = case["x"].clone().requires_grad_()
    spikes, membranes = step_by_step(neuron, x)
    assert torch.equal(spikes, case["spikes"]) and torch.equal(neuron(x), spikes)
    loss = (spikes * case["grad_spike_weights"]).sum()
    check(loss, x, parameters, names, case["grad_x_spikeloss"], case["grad_params_spikeloss"])
    if "v_after_reset" in case:
        assert membranes is not None
        torch.testing.assert_close(membranes, case["v_after_reset"], rtol=0, atol=1e-9)
        loss = loss + (membranes * case["grad_v_weights"]).sum()
        check(
            loss,
            x,
            parameters,
            names,
            case["grad_x_spike_plus_v_loss"],
            case["grad_params_spike_plus_v_loss"],
        )


def check(loss, x, parameters, names, grad_x, grad_parameters) -> None:
    ours = [names.get(key, key) for key in grad_parameters]
    found = torch.autograd.grad(loss, [x, *(parameters[key] for key in ours)], retain_graph=True)
    for a, b in zip(found, [grad_x, *grad_parameters.values()], strict=True):
        torch.testing.assert_close(a, b.reshape(a.shape), rtol=0, atol=1e-9)


def test_every_case_of_the_file_is_covered(cases) -> None:
    assert set(cases) == set(NAMES)
