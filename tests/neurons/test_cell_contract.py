"""What every registered cell must do: a neuron that takes its numbers of inputs and features."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.library import opcheck
from variants import Calls

from spikedrive.errors import DtypeError, ShapeError
from spikedrive.neurons import Neuron, get_cell, list_cells
from spikedrive.ops.domains import NEURON_OPS, bind, decompositions
from spikedrive.state import run

INPUTS = 6
LEGENDRE = {"order": 4, "window": 5.0}
VARIANTS: dict[str, list[dict]] = {
    "DelayedLinear": [
        {"features": 3, "max_delay": 2},
        {"features": 3, "max_delay": 4, "count": 2, "shape": "max", "discrete": True},
    ],
    "EGRU": [{"features": 3}],
    "ELM": [
        {"outputs": 3, "memories": 5},
        {"outputs": 2, "memories": 4, "branches": 2, "version": 1, "routing": torch.tensor([0, 5, 3, -1])},
    ],
    "L2MU": [
        {"features": 5, "memories": 3, **LEGENDRE},
        {"features": 4, "memories": 2, "current_decay": 0.5, **LEGENDRE},
    ],
    "LMU": [{"features": 3, **LEGENDRE}],
    "LegendreMemory": [LEGENDRE],
}
FIRST = [(name, 0) for name in VARIANTS]
CASES = [(name, i) for name, variants in VARIANTS.items() for i in range(len(variants))]
# a convolution is an operation already
WITHOUT_OPERATION = {"DelayedLinear"}


# for what takes seconds and no argument changes
once = pytest.mark.parametrize("cell", FIRST, indirect=True, ids=lambda case: case[0])


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def cell(request) -> Neuron:
    name, i = request.param
    return get_cell(name)(INPUTS, **VARIANTS[name][i]).eval()


def test_every_registered_cell_has_variants() -> None:
    assert list_cells() == sorted(VARIANTS)


@pytest.mark.parametrize("name", list_cells())
def test_its_docstring_says_what_it_computes(name) -> None:
    text = get_cell(name).__doc__ or ""
    assert [part for part in ("*Equation*", "*Shapes*", "*Multiplies*", "*Source*") if part not in text] == []


def test_output_lies_in_the_declared_domain(cell) -> None:
    y = torch.cat([cell(torch.randn(8, 4, INPUTS) * strength) for strength in (1, 10)])
    if cell.domain is None:
        assert y.unique().numel() > 20
    else:
        assert y.unique().tolist() == [0.0, 1.0] and (cell.domain.low, cell.domain.high) == (0, 1)


def test_pure_causal_and_chunks_equal_the_whole(cell) -> None:
    x = torch.randn(8, 3, INPUTS)
    whole, model, state, parts = cell(x), nn.Sequential(cell), None, []
    for part in x.split([1, 4, 3]):
        y, state = run(model, part, state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-6)
    assert torch.equal(cell(x), whole)
    late = x.clone()
    late[6:] = 9
    torch.testing.assert_close(cell(late)[:6], whole[:6], rtol=0, atol=1e-6)


def test_a_sample_ignores_the_rest_of_the_batch(cell) -> None:
    x = torch.randn(6, 4, INPUTS)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(cell(x[:, order]), cell(x)[:, order], rtol=0, atol=1e-6)
    assert cell(x[:, :0]).shape[1] == 0


def test_a_gradient_reaches_every_learned_parameter_and_the_input(cell) -> None:
    x = torch.randn(8, 4, INPUTS, requires_grad=True)
    y = cell.train()(x)
    weight = torch.randn_like(y)
    wanted = {name: p for name, p in cell.named_parameters() if p.requires_grad}
    found = torch.autograd.grad((y * weight).sum(), [x, *wanted.values()], allow_unused=True)
    # what an exact shift multiplies by is no function of its position
    silent = {"P", "SIG"} if getattr(cell, "discrete", None) else set()
    missing = {
        name for name, g in zip(["x", *wanted], found, strict=True) if g is None or not g.count_nonzero()
    }
    assert missing == silent


def test_in_fp64_it_gives_the_same_and_strides_change_nothing(cell) -> None:
    x = torch.randn(7, 3, INPUTS)
    y = cell(x)
    torch.testing.assert_close(cell(x.transpose(0, 2).contiguous().transpose(0, 2)), y, rtol=0, atol=1e-6)
    y64 = cell.double()(x.double())
    assert y64.dtype == torch.float64
    torch.testing.assert_close(y64.float(), y, rtol=0, atol=1e-4)


def test_poisoned_memory_changes_nothing(cell) -> None:
    x = torch.randn(6, 3, INPUTS)
    y = cell(x)
    poison = [torch.full_like(t, torch.nan) for t in (x, y) for _ in range(64)]
    del poison
    assert torch.equal(cell(x), y)


def test_autocast_passes_through(cell) -> None:
    net, x = nn.Sequential(nn.Linear(INPUTS, INPUTS), cell), torch.randn(6, 3, INPUTS)
    with torch.autocast("cpu", torch.bfloat16):
        y = net(x)
    y.float().square().sum().backward()
    assert net[0].weight.grad is not None and net[0].weight.grad.count_nonzero()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


def test_it_can_be_copied_and_pickled_after_streaming(cell) -> None:
    x = torch.randn(6, 2, INPUTS)
    run(cell, x)
    for twin in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        assert torch.equal(twin(x), cell(x))


@once
# torch's own export copies its tree specs through a form that it has itself deprecated
@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*:FutureWarning")
def test_one_node_in_an_exported_graph_that_is_its_equation(cell) -> None:
    x = torch.randn(3, 3, INPUTS)
    with torch.no_grad():
        program = torch.export.export(
            nn.Sequential(cell), (x,), dynamic_shapes=({1: torch.export.Dim("batch")},)
        )
        torch.testing.assert_close(program.module()(x[:, :2]), cell(x[:, :2]), rtol=0, atol=1e-6)
        nodes = [n for n in program.graph.nodes if "spikedrive" in str(n.target)]
        assert len(nodes) == (type(cell).__name__ not in WITHOUT_OPERATION)
        for node in nodes:
            domain = NEURON_OPS[str(node.target)].domain(bind(node.target, node.args, node.kwargs))
            assert domain == cell.domain
        plain = program.run_decompositions(decompositions())
    assert not any("spikedrive" in str(n.target) for n in plain.graph.nodes)
    torch.testing.assert_close(plain.module()(x), cell(x), rtol=0, atol=1e-6)


@once
def test_it_compiles_in_one_graph(cell, unchecked) -> None:
    torch._dynamo.reset()
    x = torch.randn(3, 2, INPUTS, requires_grad=True)
    found = []
    for run_ in (cell, torch.compile(cell, backend="aot_eager", fullgraph=True)):
        y = run_(x)
        found.append((y, *torch.autograd.grad(y.square().sum(), x)))
    for plain, compiled in zip(*found, strict=True):
        torch.testing.assert_close(compiled, plain, rtol=0, atol=1e-6)


@once
def test_torch_accepts_the_registration(cell) -> None:
    own = type(cell).__name__ not in WITHOUT_OPERATION
    with Calls() as calls:
        cell(torch.randn(2 if own else 3, 2, INPUTS, requires_grad=True))
    assert len(calls.seen) == own
    for op, arguments in calls.seen:
        leaves = [
            a.detach().requires_grad_(a.requires_grad) if isinstance(a, torch.Tensor) else a
            for a in arguments
        ]
        assert set(opcheck(op, tuple(leaves)).values()) == {"SUCCESS"}


def test_a_wrong_input_is_refused(cell, unchecked) -> None:
    with pytest.raises(ShapeError, match=r"it takes \(T, B, ..., 6\). Give it that many"):
        cell(torch.randn(8, 2, INPUTS + 1))
    with pytest.raises(DtypeError, match=r"it takes floating point. Convert with x.float\(\)"):
        cell(torch.ones(8, 2, INPUTS, dtype=torch.int64))
