"""A network keeps its spikes on the way to NIR and back, and a graph of others fires as its equation says."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from torch import nn

from spikedrive.errors import ConfigError, MissingExtraError
from spikedrive.interop.nir import MAPPINGS, EveryStep, InputAffine, from_nir, mapping, to_nir
from spikedrive.neurons import IF, ILIF, LIF, PLIF, CurrentLIF, get_neuron, list_neurons
from spikedrive.neurons.delta import Accumulate
from spikedrive.ops import surrogate

NEURONS = [
    IF(), IF(0.3, reset_value=-0.2), IF(strict=True), LIF(), LIF(0.9), LIF(0.37, 0.7, decay_input=False),
    LIF(0.8, reset_value=-0.4), LIF(0.8, strict=True, detach_reset=False, surrogate=surrogate.atan()), LIF(0.0),
    LIF(1.0, decay_input=False), PLIF(3.3), PLIF(7.0, 0.4, decay_input=False),
    CurrentLIF(), CurrentLIF(0.8, 0.9, 1.3, reset_value=-0.2, strict=True),
]  # fmt: skip


def dense(neuron: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(6, 9), neuron, nn.Dropout(0.5), nn.Linear(9, 4, bias=False), LIF(0.8, 0.01)
    )


def image(neuron: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(EveryStep(nn.Conv2d(2, 6, 3, stride=2, padding=1)), neuron),
        EveryStep(nn.Conv2d(6, 6, 3, groups=6, bias=False)),
        IF(0.2),
        EveryStep(nn.AvgPool2d(2)),
        nn.Flatten(2),
        nn.Linear(6 * 3 * 3, 5),
        LIF(0.7, 0.01),
    )


@pytest.mark.parametrize("neuron", NEURONS, ids=repr)
def test_the_same_spikes_after_a_file(neuron, tmp_path) -> None:
    model, x = dense(neuron).eval(), torch.randn(40, 3, 6) * 3
    with torch.no_grad():
        expected = model(x)
    assert 0 < expected.mean() < 1
    nir.write(tmp_path / "net.nir", to_nir(model, x, dt=1e-3))
    again = from_nir(nir.read(tmp_path / "net.nir"))
    assert torch.equal(again(x), expected)
    assert repr(again[1]) == repr(neuron if not isinstance(neuron, PLIF) else again[1])


def test_images_and_depthwise_convolutions(tmp_path) -> None:
    model, x = image(LIF(0.6, 0.3)).eval(), torch.randn(12, 2, 2, 17, 17) * 2
    nir.write(tmp_path / "net.nir", to_nir(model, x))
    # nir 1.0.8 takes the width of a grouped weight for the number of input channels
    again = from_nir(nir.read(tmp_path / "net.nir", type_check=False))
    assert torch.equal(again(x), model(x)) and model(x).any()


def test_the_shapes_are_those_that_nir_infers() -> None:
    model = nn.Sequential(
        EveryStep(nn.Conv2d(2, 6, 3, stride=2)), LIF(), nn.Flatten(2), nn.Linear(384, 5), IF()
    )
    graph = to_nir(model, torch.zeros(1, 1, 2, 17, 17))
    graph.infer_types()
    assert graph.check_types()


def test_training_goes_on_as_before() -> None:
    neuron = LIF(0.8, detach_reset=False, surrogate=surrogate.atan(3.0))
    (again,) = from_nir(to_nir(nn.Sequential(neuron), torch.zeros(1, 1, 4)))
    x = torch.randn(9, 2, 4, requires_grad=True)
    for y, z in zip(*([n(x), *torch.autograd.grad(n(x).sum(), x)] for n in (neuron, again)), strict=True):
        assert torch.equal(y, z)


def euler(node, x, dt):
    """The node's differential equations in steps of dt, fired as NIR says; x (T, cells)."""
    p = {
        key: torch.tensor(value).double()
        for key, value in vars(node).items()
        if isinstance(value, np.ndarray)
    }
    v, current, spikes = p["v_reset"], torch.zeros_like(x[0]), []
    for x_t in x:
        current = current + dt / p["tau_syn"] * (p["w_in"] * x_t - current) if "tau_syn" in p else x_t
        tau = p.get("tau", p.get("tau_mem"))
        v = v + dt * p["r"] * current if tau is None else v + dt / tau * (p["v_leak"] - v + p["r"] * current)
        spikes.append((v > p["v_threshold"]).double())
        v = torch.where(spikes[-1] > 0, p["v_reset"], v)
    return torch.stack(spikes)


@pytest.mark.parametrize("neuron", NEURONS, ids=repr)
def test_what_is_written_is_what_nir_says(neuron) -> None:
    graph = to_nir(nn.Sequential(neuron), torch.zeros(1, 1, 5), dt=1e-3)
    (node,) = (n for name, n in graph.nodes.items() if name not in ("input", "output"))
    assert node.v_threshold.shape == (5,) and node.v_threshold.dtype == np.float32
    x = torch.randn(50, 5).double() * 2
    expected = neuron.double()(x[:, None])[:, 0]
    assert torch.equal(euler(node, x, 1e-3), expected) and expected.any()
    neuron.float()


def test_a_graph_of_another_tool() -> None:
    """Resistance, leak and threshold of each cell's own, where nothing says who wrote it."""
    n, dt = 7, 1e-3
    rng = np.random.default_rng(0)
    ranges = {"r": (0.5, 2), "v_leak": (-0.2, 0.3), "v_threshold": (0.4, 0.9), "v_reset": (-0.1, 0.1)}
    arrays = {key: rng.uniform(low, high, n) for key, (low, high) in ranges.items()}
    node = nir.LIF(tau=np.full(n, 5e-3), **arrays)
    x = torch.randn(200, 1, n).double() * 2
    model = from_nir(nir.NIRGraph.from_list(node), dt=dt)
    assert isinstance(model[0], InputAffine)
    found = model.double()(x)
    assert found.mean() > 0.05
    # the gains are fp32, so a membrane that comes near enough to its threshold may fall on the other side
    assert (found[:, 0] != euler(node, x[:, 0], dt)).double().mean() < 1e-3


def test_a_current_based_graph_of_another_tool() -> None:
    n, dt = 7, 1e-3
    constants = {"tau_syn": 4e-3, "tau_mem": 8e-3, "v_leak": -0.1, "v_reset": -0.1}
    node = nir.CubaLIF(
        **{key: np.full(n, value) for key, value in constants.items()},
        r=np.linspace(1, 2, n), w_in=np.linspace(2, 3, n), v_threshold=np.linspace(0.5, 0.9, n),
    )  # fmt: skip
    x = torch.randn(200, 1, n).double() * 3
    found = from_nir(nir.NIRGraph.from_list(node), dt=dt).double()(x)
    assert found.mean() > 0.05
    assert (found[:, 0] != euler(node, x[:, 0], dt)).double().mean() < 1e-3


def test_an_edited_node_is_read_as_it_is_now() -> None:
    graph = to_nir(nn.Sequential(LIF()), torch.zeros(1, 1, 3))
    graph.nodes["lif"].v_threshold[:] = 0.25
    (neuron,) = from_nir(graph)
    assert neuron.threshold == 0.25 and neuron.strict


def test_integrators_scales_and_sums() -> None:
    graph = nir.NIRGraph.from_list(nir.Scale(np.array([1.0, 2.0])), nir.I(np.array([1e4, 5e3])))
    y = from_nir(graph)(torch.ones(3, 1, 2))
    assert y[:, 0].tolist() == [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
    assert isinstance(to_nir(nn.Sequential(Accumulate()), torch.ones(3, 1, 2)).nodes["i"], nir.I)
    pool = nir.NIRGraph.from_list(
        nir.Input({"input": np.array([1, 2, 2])}), nir.SumPool2d(*(np.array([n, n]) for n in (2, 2, 0))),
        nir.Output({"output": np.array([1, 1, 1])}), type_check=False,
    )  # fmt: skip
    assert from_nir(pool)(torch.ones(1, 1, 1, 2, 2)).item() == 4.0


@pytest.mark.parametrize("name", list_neurons())
def test_every_neuron_has_a_node_or_a_reason(name) -> None:
    neuron = get_neuron(name)()
    said = mapping(name, neuron.domain.kind if neuron.domain else "real")
    model, x = nn.Sequential(neuron), torch.zeros(getattr(neuron, "steps", None) or 1, 1, 3)
    if said.node:
        (node,) = (n for n in to_nir(model, x).nodes.values() if not isinstance(n, (nir.Input, nir.Output)))
        assert type(node).__name__ == said.node
    else:
        with pytest.raises(
            ConfigError, match=f"to_nir got a {name}, which has no node: {said.conversion}. It takes"
        ):
            to_nir(model, x)


def test_the_table_names_no_neuron_that_is_gone() -> None:
    assert set(MAPPINGS) - {"Accumulate"} <= set(list_neurons())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LIF(reset="soft"), r"a LIF with reset='soft', and NIR's neurons are set to v_reset; .* Train with a hard"),
        (LIF(delayed_reset=True), r"a LIF with delayed_reset=True, and NIR's neurons reset in the step of the spike"),
        (CurrentLIF(1.0), r"a CurrentLIF that forgets nothing.*decays below 1"),
        (LIF(1.0), r"a LIF with decay=1 and decay_input=True.*Use IF"),
        (ILIF(), r"a ILIF, which has no node: NIR's neurons emit spikes, and this one integers"),
        (nn.BatchNorm1d(3), r"got BatchNorm1d\(3.* which NIR has no node for; .* fold BatchNorm"),
        (InputAffine(torch.ones(3), torch.ones(3)), r"InputAffine with an offset.*bias of the layer in front"),
    ],
)  # fmt: skip
def test_what_has_no_node_is_refused(model, message) -> None:
    with pytest.raises(ConfigError, match=message):
        to_nir(nn.Sequential(model), torch.zeros(2, 3, 3))


def port(side: str) -> nir.NIRNode:
    return (nir.Input if side == "input" else nir.Output)({side: np.array([3])})


def lif(**arrays) -> nir.LIF:
    given = {"tau": 1e-2, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, **arrays}
    return nir.LIF(**{key: np.broadcast_to(value, 3).astype(float) for key, value in given.items()})


def cuba(**arrays) -> nir.CubaLIF:
    given = {"tau_syn": 1e-2, "tau_mem": 1e-2, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, **arrays}
    return nir.CubaLIF(**{key: np.broadcast_to(value, 3).astype(float) for key, value in given.items()})


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (nir.NIRGraph.from_list(lif(tau=[1e-2, 2e-2, 1e-2])), r"tau from 0\.01 to 0\.02 in one .* Split the"),
        (nir.NIRGraph.from_list(lif(tau=1e-5)), r"tau 1e-05 s and a step of 0\.0001 s; .* smaller dt"),
        (nir.NIRGraph.from_list(cuba(tau_mem=1e-5)), r"0\.01 s and 1e-05 s and a step of 0\.0001 s; .* smaller dt"),
        (nir.NIRGraph.from_list(cuba(v_leak=0.5)), r"v_leak is not its v_reset; .* so that they agree"),
        (nir.NIRGraph.from_list(nir.Delay(np.ones(3))), r"a node Delay, which has no layer here; it takes Affine, "),
        (
            nir.NIRGraph({"input": port("input"), "a": lif(), "output": port("output")},
                         [("input", "a"), ("a", "a"), ("a", "output")]),
            r"3 nodes that branches, joins or returns; it takes one chain .* followed it over 2",
        ),
    ],
)  # fmt: skip
def test_a_graph_that_has_no_sequence_is_refused(graph, message) -> None:
    with pytest.raises(ConfigError, match=message):
        from_nir(graph)


def test_without_the_package_its_command_is_named(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nir", None)
    with pytest.raises(MissingExtraError, match=r"nir is not installed; .* pip install 'spikedrive\[nir\]'"):
        to_nir(nn.Sequential(LIF()), torch.zeros(1, 1, 1))
