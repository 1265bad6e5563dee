"""The expressive leaky memory neuron, as its code has it."""

from __future__ import annotations

import pytest
import torch

from spikedrive.errors import ConfigError, ShapeError
from spikedrive.neurons import ELM

KEYS = {
    "_proto_w_s": "synapse_weight",
    "_proto_tau_m": "memory_tau_raw",
    "mlp.network.0.weight": "mlp_in.weight",
    "mlp.network.0.bias": "mlp_in.bias",
    "mlp.network.2.weight": "mlp_out.weight",
    "mlp.network.2.bias": "mlp_out.bias",
    "w_y.weight": "readout.weight",
    "w_y.bias": "readout.bias",
}


@pytest.mark.parametrize("case", ["v1_None", "v1_neuronio_routing", "v2_None", "v2_neuronio_routing"])
def test_it_equals_the_original(case, golden) -> None:
    entry = torch.load(golden("elm_neuron") / "cases.pt")[case]
    config, saved = entry["config"], entry["state"]
    version = int(case[1])
    routing = None
    if "num_branch" in config:
        routing = saved["input_to_synapse_indices"].where(saved["valid_indices_mask"], -1)
    cell = ELM(
        config["num_input"], config["num_output"], memories=config["num_memory"], version=version,
        gain=config["lambda_value"], memory_tau=(config["memory_tau_min"], config["memory_tau_max"]),
        branches=config.get("num_branch"), routing=routing,
    ).double()  # fmt: skip
    ours = {name: saved[theirs] for theirs, name in KEYS.items()}
    ours["branch_tau"] = saved["tau_s" if version == 1 else "tau_b"]
    assert not cell.load_state_dict(ours, strict=False).unexpected_keys
    torch.testing.assert_close(cell.memory_time_constants(), entry["tau_m"], rtol=0, atol=1e-9)
    y = cell(entry["x"].transpose(0, 1)).transpose(0, 1)
    y.backward(entry["upstream"])
    torch.testing.assert_close(y, entry["y"], rtol=0, atol=1e-9)
    parameters = dict(cell.named_parameters())
    for theirs, gradient in entry["grads"].items():
        torch.testing.assert_close(parameters[KEYS[theirs]].grad, gradient, rtol=0, atol=1e-9)


def test_the_memories_span_the_asked_time_constants() -> None:
    tau = ELM(2, 1, memories=7, memory_tau=(2.0, 500.0)).memory_time_constants()
    torch.testing.assert_close(tau, torch.logspace(0, 1, 7, base=250.0) * 2, rtol=1e-3, atol=0)


def test_a_memory_decays_with_its_time_constant() -> None:
    cell = ELM(1, 1, memories=3, memory_tau=(5.0, 100.0)).double()
    torch.nn.init.zeros_(cell.mlp_out.weight)
    torch.nn.init.zeros_(cell.mlp_out.bias)
    x = torch.zeros(50, 1, 1, dtype=torch.float64)
    _, (_, memories) = cell.scan(x, (cell.rest(x)[0], torch.ones(1, 3, dtype=torch.float64)))
    torch.testing.assert_close(memories[0], (-50 / cell.memory_time_constants()).exp(), rtol=1e-9, atol=0)


def test_learned_time_constants_get_a_gradient() -> None:
    cell = ELM(2, 1, memories=3, learn_memory_tau=True)
    cell(torch.randn(4, 2, 2)).sum().backward()
    assert cell.memory_tau_raw.grad is not None and cell.memory_tau_raw.grad.count_nonzero() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"memories": 0}, r"ELM got memories=0; it takes a number at least 1. Change memories"),
        ({"branch_tau": -1.0}, r"got branch_tau=-1.0; it takes a number above 0"),
        ({"memory_tau": (10.0, 5.0)}, r"got memory_tau\[1\]=5.0; it takes a number above 10"),
        ({"version": 3}, r"got version=3; it takes 1 or 2. Take 2"),
        ({"branches": 2}, r"3 synapses for 2 branches of 3 inputs; .* Change routing or branches"),
        ({"routing": torch.tensor([0, 7]), "branches": 1}, r"2 synapses for 1 branches of 3 inputs"),
    ],
)
def test_a_wrong_argument_is_refused(arguments, message, unchecked) -> None:
    with pytest.raises(ConfigError, match=message):
        ELM(3, 1, **arguments)


def test_an_input_of_another_width_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"shape \(2, 1, 5\); it takes \(T, B, ..., 3\). Give it that many"):
        ELM(3, 4)(torch.zeros(2, 1, 5))
