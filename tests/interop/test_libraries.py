"""Models of other libraries: the copy with our neurons answers alike, and its audit says what theirs multiply."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spikedrive as sd
from spikedrive.errors import ConfigError
from spikedrive.interop import libraries
from spikedrive.interop.libraries import LIBRARIES, as_ours, compare, neurons_of_others
from spikedrive.neurons import IF, ILIF, LIF

Library = Callable[[str], ModuleType]
STEPS = 6


class Loop(nn.Module):
    """A user's own loop over time around one neuron a layer; `kind` says how the neuron is called."""

    def __init__(self, hidden: nn.Module, out: nn.Module, kind: str) -> None:
        super().__init__()
        self.fc1, self.hidden, self.fc2, self.out = nn.Linear(5, 8), hidden, nn.Linear(8, 4), out
        self.kind = kind

    def forward(self, x: Tensor) -> Any:
        first: Any = self.hidden.reset_mem() if self.kind == "snntorch" else None
        second: Any = self.out.reset_mem() if self.kind == "snntorch" else None
        answers = []
        for x_t in x:
            if self.kind == "spikingjelly":
                y = self.out(self.fc2(self.hidden(self.fc1(x_t))))
            elif self.kind == "norse":
                s, first = self.hidden(self.fc1(x_t), first)
                y, second = self.out(self.fc2(s), second)
            else:
                s, *first = self.hidden(self.fc1(x_t), *_all(first))
                y, *second = self.out(self.fc2(s), *_all(second))
            answers.append(y)
        return torch.stack(answers), second


def _all(state: Any) -> Any:
    return (state,) if isinstance(state, Tensor) else state


def inputs(scale: float = 3.0) -> Tensor:
    return scale * torch.randn(STEPS, 3, 5)


def check(model: nn.Module, x: Tensor, **options: Any) -> None:
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                # so that every layer fires
                layer.weight.mul_(4)
        theirs = model.eval()(x)
    spikes = theirs[0] if isinstance(theirs, tuple) else theirs
    assert 0 < (spikes != 0).double().mean() < 1, "a net that is silent, or fires always, shows nothing"
    # the states that this left behind are no reason to differ
    found = compare(model, x, **options)
    assert found.equal, found
    assert found.values >= 4 * spikes.numel()


SPIKINGJELLY = [
    ("IFNode", {}), ("IFNode", {"v_reset": None, "v_threshold": 0.5}), ("IFNode", {"v_reset": -0.25}),
    ("SimpleIFNode", {"v_reset": None}), ("LIFNode", {}), ("LIFNode", {"tau": 3.0, "v_reset": 0.125}),
    ("LIFNode", {"tau": 4.0, "decay_input": False, "v_reset": None, "detach_reset": True}),
    ("SimpleLIFNode", {"tau": 2.5, "decay_input": False}), ("ParametricLIFNode", {"init_tau": 3.0}),
    ("ParametricLIFNode", {"decay_input": False, "v_reset": None}), ("ILIFNode", {}),
    ("TernaryIFNode", {}), ("TernaryLIFNode", {"tau": 4.0, "v_reset": None}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), SPIKINGJELLY, ids=str)
def test_spikingjelly_in_both_step_modes(library: Library, name: str, options: dict[str, Any]) -> None:
    node = getattr(library("spikingjelly.activation_based.neuron"), name)
    check(Loop(node(**options), node(**options), "spikingjelly"), inputs())
    many = nn.Sequential(
        nn.Linear(5, 8), node(**options, step_mode="m"), nn.Linear(8, 4), node(**options, step_mode="m")
    )
    check(many, inputs())
    # as it is after training: what it computed last is still there, and not to be copied
    many(inputs())
    assert compare(many, inputs()).equal


SNNTORCH = [
    ("Leaky", {"beta": 0.9}), ("Leaky", {"beta": 0.5, "threshold": 0.5, "reset_mechanism": "zero"}),
    ("Leaky", {"beta": 0.75, "reset_mechanism": "zero", "reset_delay": False}),
    ("Leaky", {"beta": torch.tensor(1.5), "learn_beta": True, "learn_threshold": True}),
    ("Synaptic", {"alpha": 0.5, "beta": 0.75}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), SNNTORCH, ids=str)
def test_snntorch_with_its_state_handed_on_and_hidden(
    library: Library, name: str, options: dict[str, Any]
) -> None:
    cell = getattr(library("snntorch"), name)
    check(Loop(cell(**options), cell(**options), "snntorch"), inputs())
    check(nn.Sequential(nn.Linear(5, 8), cell(**options, init_hidden=True)), inputs()[0])
    check(nn.Sequential(nn.Linear(5, 8), cell(**options, init_hidden=True, output=True)), inputs()[0])


def norse_cells(library: Library) -> list[tuple[nn.Module, nn.Module]]:
    nt = library("norse.torch")
    box = library("norse.torch.functional.lif_box").LIFBoxParameters
    soft = library("norse.torch.functional.reset").reset_subtract
    lif = nt.LIFParameters(
        tau_syn_inv=torch.tensor(500.0), tau_mem_inv=torch.tensor(250.0), method="heaviside"
    )
    return [
        (nt.LIFCell(), nt.LIFCell(p=lif)),
        (nt.LIFBoxCell(), nt.LIFBoxCell(box(tau_mem_inv=torch.tensor(500.0), reset_method=soft))),
        (nt.IAFCell(), nt.IAFCell()),
    ]


@pytest.mark.parametrize("which", range(3))
def test_norse_with_its_state_handed_on(library: Library, which: int) -> None:
    check(Loop(*norse_cells(library)[which], "norse"), inputs(30.0))


def test_norse_over_time_in_its_own_sequence_with_an_integrator(library: Library) -> None:
    nt = library("norse.torch")
    net = nt.SequentialState(nn.Linear(5, 8), nt.LIF(), nn.Linear(8, 4), nt.IAF())
    check(net, inputs(30.0))
    read = nt.SequentialState(nn.Linear(5, 8), nt.LIF(), nn.Linear(8, 4), nt.LI())
    assert compare(read, inputs(30.0)).equal
    answer = sd.audit(read, inputs()[:, :1], batch_axis=1)
    assert answer.verdict == "hybrid"
    assert {left.module for left in answer.exceptions} == {"1", "3"}


def sinabs_layers(library: Library) -> list[nn.Module]:
    layers, how = library("sinabs.layers"), library("sinabs.activation")
    return [
        layers.IAF(spike_fn=how.SingleSpike), layers.IAF(spike_fn=how.MaxSpike(3)), layers.IAF(),
        layers.IAF(spike_fn=how.SingleSpike, reset_fn=how.MembraneReset(), spike_threshold=torch.tensor(0.5)),
        layers.LIF(tau_mem=4.0, spike_fn=how.SingleSpike, norm_input=False),
        layers.LIF(tau_mem=4.0, spike_fn=how.MaxSpike(4)), layers.LIF(tau_mem=4.0, norm_input=False),
        layers.LIF(tau_mem=3.0, tau_syn=2.0, spike_fn=how.SingleSpike, train_alphas=True),
    ]  # fmt: skip


@pytest.mark.parametrize("which", range(8))
def test_sinabs_takes_the_batch_before_time(library: Library, which: int) -> None:
    layer = sinabs_layers(library)[which]
    check(nn.Sequential(nn.Linear(5, 8), layer), inputs().transpose(0, 1), most=100)


def test_sinabs_with_batch_and_time_in_one_axis(library: Library) -> None:
    layers, how = library("sinabs.layers"), library("sinabs.activation")
    squeezed = layers.LIFSqueeze(num_timesteps=STEPS, tau_mem=4.0, spike_fn=how.SingleSpike, norm_input=False)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), squeezed, nn.Flatten())
    x = 3 * torch.randn(2 * STEPS, 2, 5, 5)
    check(model, x)
    other = layers.IAFSqueeze(batch_size=3, spike_fn=how.MaxSpike(2))
    check(nn.Sequential(nn.Linear(5, 8), other), inputs().flatten(0, 1))
    # the first axis counts as samples, so the counts are those of a step
    assert sd.audit(model, x).totals["dense_macs"] == 2 * 9 * 27


def test_a_model_is_audited_as_it_comes(library: Library) -> None:
    node = library("spikingjelly.activation_based.neuron")
    model = Loop(node.IFNode(), node.LIFNode(), "spikingjelly")
    answer = sd.audit(model, inputs()[:, :1], batch_axis=1)
    assert answer.verdict == "additive"
    assert answer.model == "Loop"
    assert answer.analog == ("fc1",)
    assert answer.totals["additions"] == STEPS * 8 * 4
    assert answer.totals["membrane_updates"] == STEPS * (8 + 4)
    leaky = Loop(node.IFNode(), node.LIFNode(tau=3.0), "spikingjelly")
    left = sd.audit(leaky, inputs()[:, :1], batch_axis=1).exceptions
    assert [(e.module, e.kind, e.count) for e in left] == [("out", "leak", 4)] * STEPS
    # the line is not one of ours, which the user never wrote
    assert "interop/libraries" not in left[0].file
    assert all(isinstance(m, node.IFNode) for m in (model.hidden, leaky.hidden)), "only the copy is changed"


def test_a_membrane_that_is_read_out(library: Library) -> None:
    node = library("spikingjelly.activation_based.neuron")

    class Readout(Loop):
        def forward(self, x: Tensor) -> Any:
            super().forward(x)
            return self.out.v

    model = Readout(node.IFNode(), node.LIFNode(v_threshold=float("inf")), "spikingjelly")
    assert compare(model, inputs()).equal
    assert as_ours(model).out.v == 0.0


def test_the_kinds_of_ours(library: Library) -> None:
    node, layers = library("spikingjelly.activation_based.neuron"), library("sinabs.layers")
    bounded = layers.IAF(spike_fn=library("sinabs.activation").MaxSpike(3))
    copy = as_ours(nn.ModuleList([node.LIFNode(tau=4.0, v_reset=None), node.IFNode(), bounded]))
    leaky, plain, integer = (cell.neuron for cell in copy)
    assert isinstance(leaky, LIF) and (leaky.decay, leaky.reset, leaky.strict) == (0.75, "soft", False)
    assert isinstance(plain, IF) and not plain.detach_reset
    assert isinstance(integer, ILIF) and integer.domain.high == 3


def refused(library: Library) -> list[tuple[nn.Module, str]]:
    node, snn, nt = (
        library("spikingjelly.activation_based.neuron"),
        library("snntorch"),
        library("norse.torch"),
    )
    layers, how = library("sinabs.layers"), library("sinabs.activation")
    own = type("OwnNode", (node.LIFNode,), {})
    return [
        (node.IzhikevichNode(), r"neuron\.adapt\.IzhikevichNode: which no neuron here is equal to"),
        (own(), "a class of its own, derived from one of spikingjelly"),
        (node.LIFNode(surrogate_function=_sloped(library)), "which is no step"),
        (snn.Leaky(beta=torch.rand(4)), r"its beta differs from neuron to neuron \(4 values\)"),
        (snn.Leaky(0.5, reset_delay=False), "subtracts again"),
        (snn.Leaky(0.5, reset_mechanism="none"), "never resets"),
        (snn.Leaky(0.5, graded_spikes_factor=2.0), "its spikes are graded"),
        (snn.Leaky(0.5, state_quant=lambda v: v), "a quantised state"),
        (snn.Synaptic(0.5, 0.5, reset_mechanism="zero"), "of its resets only"),
        (nt.LIFRecurrentCell(2, 2), "which no neuron here is equal to"),
        (nt.LIF(record_states=True), "records the state of every step"),
        (nt.LIFCell(nt.LIFParameters(v_reset=torch.tensor(-1.0))), "resets to another v_reset"),
        (layers.IAF(), r"its spikes a step have no bound.*as_ours\(model, most=n\)"),
        (layers.IAF(min_v_mem=-1.0), "its membrane has a lower bound"),
        (layers.IAF(spike_fn=how.MaxSpike(2), reset_fn=how.MembraneReset()), "and then resets to zero"),
        (layers.IAF(reset_fn=how.MembraneSubtract(2.0)), "neither subtracts the threshold nor resets"),
        (layers.ExpLeak(tau_mem=2.0), "sinabs.layers.exp_leak.ExpLeak"),
    ]  # fmt: skip


def _sloped(library: Library) -> Any:
    return library("spikingjelly.activation_based.surrogate").ATan(spiking=False)


@pytest.mark.parametrize("which", range(17))
def test_what_has_no_exact_counterpart_is_refused_by_name(library: Library, which: int) -> None:
    module, reason = refused(library)[which]
    with pytest.raises(ConfigError, match=rf"Module '0\.1' is a .*{reason}.*these have exact counterparts: "):
        sd.audit(nn.Sequential(nn.Sequential(nn.Linear(4, 4), module)), torch.randn(2, 4))


def test_their_stateless_layers_stay(library: Library) -> None:
    layer = library("spikingjelly.activation_based.layer")
    model = nn.Sequential(layer.Conv2d(2, 3, 3, step_mode="m"), layer.BatchNorm2d(3, step_mode="m"),
                          layer.Dropout(0.5, step_mode="m"), nn.Flatten(2))  # fmt: skip
    assert neurons_of_others(model) == []
    assert sd.audit(model, torch.randn(4, 1, 2, 5, 5), batch_axis=1).verdict == "additive"


def test_different_answers_are_counted(library: Library) -> None:
    # 2 spikes a step are not enough for an input of 3 thresholds
    model = library("sinabs.layers").IAF()
    found = compare(model, torch.full((1, 2, 4), 3.0), draws=1, most=2)
    assert (found.values, found.different, found.largest) == (8, 8, 1.0)
    assert not found.equal


def test_no_library_is_imported_with_its_adapter() -> None:
    files = Path(libraries.__file__).parent.glob("*.py")
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    assert "torch" in names
    assert not {name.partition(".")[0] for name in names} & set(LIBRARIES)
