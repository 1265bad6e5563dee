"""What every registered neuron must do, whatever it is."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.library import opcheck
from variants import FIRST, VARIANTS, Calls, make

from spikedrive.errors import ConfigError, StateError
from spikedrive.neurons import get_neuron, list_neurons
from spikedrive.ops.domains import NEURON_OPS, bind, decompositions
from spikedrive.state import run

once = pytest.mark.parametrize("case", FIRST, indirect=True, ids=lambda case: case[0])

# of a gradient, where a fast form keeps a rounded membrane for its backward pass
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-3, torch.bfloat16: 2e-2}


def test_every_registered_neuron_has_variants() -> None:
    assert list_neurons() == sorted(VARIANTS)


@pytest.mark.parametrize("name", list_neurons())
def test_its_docstring_says_what_it_computes(name) -> None:
    text = get_neuron(name).__doc__ or ""
    assert [part for part in ("*Equation*", "*Shapes*", "*Multiplies*") if part not in text] == []


def test_silent_at_zero_input(neuron, fit) -> None:
    spikes = neuron(torch.zeros(fit(5, 2, 3)))
    if neuron.silent_at_zero:
        assert spikes.count_nonzero() == 0
    else:
        # one that is silent all the same should say so
        assert neuron(torch.zeros(fit(200, 2, 3))).count_nonzero() > 0


def test_output_lies_in_the_declared_domain(neuron, fit) -> None:
    if neuron.domain is None:
        pytest.skip("emits real numbers")
    noise = torch.randn(fit(6, 4, 50))
    y = torch.cat([neuron(noise * strength) for strength in (3, 30, 300)])
    n = (y / neuron.domain.scale).round()
    torch.testing.assert_close(n * neuron.domain.scale, y, rtol=1e-6, atol=0)
    assert n.min() >= neuron.domain.low and n.max() == neuron.domain.high


def test_pure_and_chunks_equal_the_whole(neuron, fit) -> None:
    x = torch.randn(fit(6, 3, 7))
    model = nn.Sequential(neuron)
    if neuron.refuses_streaming:
        with pytest.raises(StateError, match="cannot stream"):
            run(model, x)
        return
    state, parts = None, []
    for part in (x[:1], x[1:-2], x[-2:]):
        y, state = run(model, part, state)
        parts.append(y)
    assert torch.equal(torch.cat(parts), neuron(x)) and torch.equal(neuron(x), neuron(x))


def test_causal(neuron, fit) -> None:
    if neuron.refuses_streaming:
        pytest.skip("needs the whole of its input")
    x = torch.randn(fit(6, 3, 7))
    late = x.clone()
    late[-2:] = 9
    assert torch.equal(neuron(late)[:-2], neuron(x)[:-2])


@pytest.mark.parametrize("shape", [(1, 1), (1, 3, 5), (4, 0, 3), (3, 2, 1, 5, 7), (2, 3, 4, 5)])
def test_odd_shapes_and_dtypes(neuron, fit, shape) -> None:
    for dtype in TOLERANCE:
        x = torch.randn(fit(*shape), dtype=dtype, requires_grad=True)
        y = neuron.to(dtype)(x)
        assert y.shape == x.shape and y.dtype == dtype
        y.sum().backward()
        assert x.grad is not None and x.grad.isfinite().all()


def test_strides_change_nothing(neuron, fit) -> None:
    x = torch.randn(fit(3, 4, 5, 6, 7))
    last = x.dim() - 1
    for other in (x.transpose(0, last).contiguous().transpose(0, last), x.repeat_interleave(2, 1)[:, ::2],
                  x.flip(last).contiguous().flip(last), x[:1].expand_as(x)):  # fmt: skip
        assert torch.equal(neuron(other), neuron(other.contiguous()))


def test_poisoned_memory_changes_nothing(neuron, fit) -> None:
    x = torch.randn(fit(4, 3, 33), requires_grad=True)
    y = neuron(x)
    (expected,) = torch.autograd.grad(y.sum(), x)
    poison = [torch.full(x.shape, torch.nan) for _ in range(64)]
    del poison
    again = neuron(x)
    assert torch.equal(again, y) and torch.equal(torch.autograd.grad(again.sum(), x)[0], expected)


def test_a_gradient_reaches_every_parameter(neuron, fit) -> None:
    x = torch.randn(fit(6, 8, 9), requires_grad=True)
    y = neuron.train()(x)
    (y * torch.randn_like(y)).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all() and x.grad.any()
    for path, parameter in neuron.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), path


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_reference_gives_the_same(neuron, fit, dtype, monkeypatch) -> None:
    neuron.to(dtype)
    for shape in ((4, 3, 33), (3, 2, 1, 5, 7), (1, 1)):
        x = (
            torch.randn(fit(*shape), dtype=dtype)
            .transpose(0, -1)
            .contiguous()
            .transpose(0, -1)
            .requires_grad_()
        )
        weight = torch.randn_like(x)
        found = {}
        for implementation in ("auto", "reference"):
            monkeypatch.setenv("SPIKEDRIVE_IMPL", implementation)
            y = neuron(x)
            found[implementation] = y, *torch.autograd.grad((y * weight).sum(), [x, *neuron.parameters()])
        fast, plain = found.values()
        assert torch.equal(fast[0], plain[0])
        for a, b in zip(fast[1:], plain[1:], strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=TOLERANCE[dtype] * max(1.0, float(b.abs().max())))


def test_copies_and_files_hold_the_whole_neuron(neuron, fit, case) -> None:
    x = torch.randn(fit(5, 2, 7))
    with torch.no_grad():
        for parameter in neuron.parameters():
            parameter.mul_(1.1)
    if not neuron.refuses_streaming:
        # nothing of a run may stay in the module
        run(neuron, torch.randn(fit(3, 2, 7)))
    y = neuron(x)
    again = make(*case).eval()
    again.load_state_dict(neuron.state_dict())
    for other in (copy.deepcopy(neuron), pickle.loads(pickle.dumps(neuron)), again):
        assert torch.equal(other(x), y)


def test_every_tensor_moves_with_the_module(neuron, fit) -> None:
    y = neuron.to("meta")(torch.randn(fit(3, 2, 5), device="meta"))
    assert y.device.type == "meta" and y.shape == fit(3, 2, 5)


def test_autocast_passes_through(neuron, fit) -> None:
    shape = fit(4, 3, 6)
    linear = nn.Linear(shape[-1], shape[-1])
    with torch.autocast("cpu", torch.bfloat16):
        y = neuron(linear(torch.randn(shape)))
    y.float().sum().backward()
    assert y.shape == shape and linear.weight.grad.isfinite().all()


def test_its_operation_declares_its_domain(neuron, called) -> None:
    op, arguments = called
    assert NEURON_OPS[str(op)].domain(bind(op, arguments, {})) == neuron.domain


@once
def test_one_node_with_its_domain_in_an_exported_graph(neuron, exported) -> None:
    x, program = exported
    (node,) = (n for n in program.graph.nodes if "spikedrive" in str(n.target))
    assert NEURON_OPS[str(node.target)].domain(bind(node.target, node.args, node.kwargs)) == neuron.domain
    few = x[:, :2]
    assert torch.equal(program.module()(few), neuron(few))


def test_the_decomposition_is_equal(neuron, fit) -> None:
    with torch.no_grad(), Calls() as calls:
        neuron(torch.randn(fit(5, 3, 7)))
        ((op, arguments),) = calls.seen
        for a, b in zip(op(*arguments), NEURON_OPS[str(op)].decomposition(*arguments), strict=True):
            assert torch.equal(a, b)


@once
def test_the_decomposition_is_plain_pytorch(neuron, fit) -> None:
    x = torch.randn(fit(3, 2, 6))
    with torch.no_grad():
        plain = make_fx(neuron, decomposition_table=decompositions())(x)
    assert not any("spikedrive" in str(n.target) for n in plain.graph.nodes)
    assert torch.equal(plain(x), neuron(x))


@once
def test_torch_accepts_the_registration(called) -> None:
    op, arguments = called
    own = [
        a.detach().clone().requires_grad_(a.is_floating_point()) if isinstance(a, torch.Tensor) else a
        for a in arguments
    ]
    assert set(opcheck(op, own).values()) == {"SUCCESS"}


@once
def test_vmap_is_right_or_refused(neuron, fit) -> None:
    x = torch.randn(2, *fit(3, 2, 5))
    refused = ""
    try:
        y = torch.vmap(neuron)(x)
    except ConfigError as error:
        refused, y = str(error), None
    right = y is not None and torch.equal(y, torch.stack([neuron(part) for part in x]))
    assert right or re.search("mapped by torch.vmap; it takes .* Put the mapped axis into B", refused)


@once
def test_dynamo_takes_it_whole(neuron, fit, unchecked) -> None:
    x = torch.randn(fit(3, 2, 5))
    torch._dynamo.reset()
    assert torch.equal(torch.compile(neuron, backend="eager", fullgraph=True)(x), neuron(x))
