"""NeuroBench's names with its numbers: of its golden file, of the suite itself, and where the audit differs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spikedrive.errors import ConfigError, DataError
from spikedrive.interop.libraries import as_ours
from spikedrive.interop.neurobench import DIFFERENCES, by_step, connection_sparsity, measure, table
from spikedrive.neurons import IF

Library = Callable[[str], ModuleType]
GOLDEN = ("footprint", "connection_sparsity", "activation_sparsity", "membrane_updates")


@pytest.fixture(scope="module")
def cases(golden: Callable[[str], Path]) -> dict[str, Any]:
    # a file of our own: numbers and tensors, and an OrderedDict
    return torch.load(golden("neurobench") / "cases.pt", weights_only=True)


class Steps(nn.Module):
    """The network of the golden file, one step."""

    def __init__(self, snn: ModuleType) -> None:
        super().__init__()
        self.fc1, self.l1 = nn.Linear(6, 8), snn.Leaky(0.9, init_hidden=True)
        self.fc2, self.l2 = nn.Linear(8, 3, bias=False), snn.Leaky(0.8, init_hidden=True, output=True)

    def forward(self, x: Tensor) -> Any:
        return self.l2(self.fc2(self.l1(self.fc1(x))))


def check(found: dict[str, Any], case: dict[str, Any]) -> None:
    assert {key: found[key] for key in GOLDEN if key in case} == {
        key: case[key] for key in GOLDEN if key in case
    }
    assert found["parameter_count"] == case["params"]
    assert found["synaptic_operations"] == case["synops"]


@pytest.mark.parametrize("name", ["snn_binary_input", "snn_real_input", "snn_ternary_input"])
def test_the_golden_spiking_network(library: Library, cases: dict[str, Any], name: str) -> None:
    model, case = Steps(library("snntorch")), cases[name]
    model.load_state_dict(cases["snn_state_dict"])
    check(measure(model, [case["x"]], call=by_step), case)
    # two batches, the second of which starts from rest again
    halves = measure(model, case["x"].split(2), call=by_step)
    assert halves["synaptic_operations"] == case["synops"]
    assert halves["membrane_updates"] == case["membrane_updates"]


def test_the_golden_ordinary_network(cases: dict[str, Any]) -> None:
    case = cases["ann_cnn"]
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 5)
    )
    model.load_state_dict(case["state_dict"])
    assert torch.allclose(model(case["x"]), case["preds"], atol=1e-5)
    check(measure(model, [case["x"]]), case)


def suite(library: Library, model: Any, x: Tensor) -> dict[str, Any]:
    """What the suite itself says of one batch."""
    static, work = library("neurobench.metrics.static"), library("neurobench.metrics.workload")
    model.register_hooks()
    model(x)
    data = (x, torch.zeros(len(x)))
    found = {
        "footprint": static.Footprint()(model), "parameter_count": static.ParameterCount()(model),
        "connection_sparsity": static.ConnectionSparsity()(model),
        "activation_sparsity": work.ActivationSparsity()(model, None, data),
    }  # fmt: skip
    for name in (
        "activation_sparsity_by_layer",
        "synaptic_operations",
        "membrane_updates",
        "neuron_operations",
    ):
        metric: Any = getattr(work, "".join(part.title() for part in name.split("_")))
        # ActivationSparsityByLayer of 2.3.0 does not call the constructor that its others call
        found[name] = metric()(model, None, data)
    model.cleanup_hooks()
    return found


def test_every_number_is_that_of_the_suite(library: Library) -> None:
    snn, models = library("snntorch"), library("neurobench.models")
    model = Steps(snn)
    model.l1 = snn.Synaptic(0.5, 0.8, reset_mechanism="zero", init_hidden=True)
    with torch.no_grad():
        model.fc1.weight[:3] = 0
    for x in (torch.rand(4, 5, 6).round(), 3 * torch.randn(4, 5, 6)):
        found = measure(model, [x], call=by_step)
        assert found == suite(library, models.SNNTorchModel(model), x)
        assert found["membrane_updates"] > 0
    net = nn.Sequential(
        nn.Conv1d(2, 3, 3, padding=1, groups=1), nn.Sigmoid(), nn.Flatten(), nn.Linear(15, 4), nn.ReLU()
    )
    x = torch.randn(3, 2, 5)
    ours = measure(net, [x])
    for metric, value in suite_of_layers(library, models.TorchModel(net), x).items():
        assert ours[metric] == value, metric


def suite_of_layers(library: Library, model: Any, x: Tensor) -> dict[str, Any]:
    """The same without neuron_operations, which fails in the suite where an activation is no neuron of snnTorch."""
    work = library("neurobench.metrics.workload")
    model.register_hooks()
    model(x)
    data = (x, torch.zeros(len(x)))
    return {
        "activation_sparsity": work.ActivationSparsity()(model, None, data),
        "synaptic_operations": work.SynapticOperations()(model, None, data),
        "membrane_updates": work.MembraneUpdates()(model, None, data),
    }


def test_the_same_network_of_our_neurons(library: Library, cases: dict[str, Any]) -> None:
    model, case = Steps(library("snntorch")), cases["snn_binary_input"]
    model.load_state_dict(cases["snn_state_dict"])
    x = case["x"][:, 0]
    theirs, ours = (
        measure(model, [x], call=lambda m, x: by_step(m, x.unsqueeze(1))),
        measure(as_ours(model), [x]),
    )
    for name in ("parameter_count", "connection_sparsity", "activation_sparsity", "synaptic_operations"):
        assert ours[name] == theirs[name]
    net = nn.Sequential(IF(), nn.Linear(4, 2))
    found = measure(net, [torch.tensor([2.0, 0.0, 2.0, 0.0]).view(1, 1, 4)], batch_axis=1)
    assert found["activation_sparsity"] == 0.5
    assert found["synaptic_operations"] == {"Effective_MACs": 0.0, "Effective_ACs": 4.0, "Dense": 8.0}
    assert net.training and not net[1]._forward_pre_hooks


# both numbers of each row, by hand
PINNED = [
    (3 * 4 * 64, 3 * 4 * 64 + 2 * 4 * 4 * 8),
    # projections 4 x 8 x 32, products 2 x 2 x 4 x 4 x 4, the Linear, an exponential and a division for each weight
    (4 * 8 * 4, 4 * 8 * 32 + 256 + 4 * 8 * 4 + 2 * 32),
    (4 * 4, 0), (0, 4 * 4 * 4), (4 * 4, 0), (8 * 4, 8 * 4), (8 * 4 + 4 * 2, 8 * 4 + 4 + 4 * 2),
    (8 * 4, 8 * 4 + 14), (0, 8),
]  # fmt: skip


def test_where_the_audit_differs_on_purpose() -> None:
    numbers = [row.numbers() for row in DIFFERENCES]
    assert numbers == PINNED
    lines = table(numbers).splitlines()
    assert len(lines) == len(DIFFERENCES) + 2
    assert "| 768 | `multiplications` | 1024 |" in lines[2]


def test_what_is_not_counted_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"Sequential holds a GRU; Linear and convolutions are counted.*Use audit"
    ):
        measure(nn.Sequential(nn.GRU(2, 2)), [torch.zeros(1, 1, 2)])
    with pytest.raises(ConfigError, match=r"has no Linear or convolution below it.*Wrap a single layer"):
        connection_sparsity(nn.Linear(2, 2))
    with pytest.raises(DataError, match="measure got no sample"):
        measure(nn.Sequential(nn.Linear(2, 2)), [])
