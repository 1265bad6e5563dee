"""What every registered neuron must do, whatever it is."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

from spikedrive.errors import ConfigError, DtypeError, ShapeError, StateError, UnknownNameError
from spikedrive.neurons import IF, ILIF, LIF, NILIF, PLIF, get_neuron, list_neurons
from spikedrive.ops.domains import NEURON_OPS, bind, decompositions
from spikedrive.state import run

# each file in cases/ holds the variants of one idea, so that a new neuron brings its own
VARIANTS: dict[str, list[dict]] = {}
for _file in sorted((Path(__file__).parent / "cases").glob("*.py")):
    VARIANTS |= runpy.run_path(str(_file))["VARIANTS"]
CASES = [(name, i) for name, variants in VARIANTS.items() for i in range(len(variants))]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def neuron(request) -> nn.Module:
    name, i = request.param
    return get_neuron(name)(**VARIANTS[name][i])


def test_every_registered_neuron_has_variants() -> None:
    assert list_neurons() == sorted(VARIANTS)


def test_silent_at_zero_input(neuron) -> None:
    if not neuron.silent_at_zero:
        pytest.skip("fires by itself")
    assert neuron(torch.zeros(5, 2, 3)).count_nonzero() == 0


def test_output_lies_in_the_declared_domain(neuron) -> None:
    if neuron.domain is None:
        pytest.skip("emits real numbers")
    y = neuron(torch.randn(6, 4, 50) * 3) / neuron.domain.scale
    assert torch.equal(y, y.round())
    assert y.min() >= neuron.domain.low and y.max() == neuron.domain.high


def test_pure_and_chunks_equal_the_whole(neuron) -> None:
    x = torch.randn(6, 3, 7)
    model = nn.Sequential(neuron)
    if neuron.refuses_streaming:
        with pytest.raises(StateError, match="cannot stream"):
            run(model, x)
        return
    state, parts = None, []
    for part in x.split([1, 3, 2]):
        y, state = run(model, part, state)
        parts.append(y)
    assert torch.equal(torch.cat(parts), neuron(x)) and torch.equal(neuron(x), neuron(x))


def test_causal(neuron) -> None:
    if neuron.refuses_streaming:
        pytest.skip("needs the whole of its input")
    x = torch.randn(6, 3, 7)
    late = x.clone()
    late[4:] = 9
    assert torch.equal(neuron(late)[:4], neuron(x)[:4])


@pytest.mark.parametrize("shape", [(1, 1), (1, 3, 5), (4, 0, 3), (3, 2, 1, 5, 7), (2, 3, 4, 5)])
def test_odd_shapes_and_dtypes(neuron, shape) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        x = torch.randn(shape, dtype=dtype, requires_grad=True)
        y = neuron.to(dtype)(x)
        assert y.shape == x.shape and y.dtype == dtype
        y.sum().backward()
        assert x.grad is not None and x.grad.isfinite().all()


def test_strides_change_nothing(neuron) -> None:
    x = torch.randn(3, 4, 5, 6, 7)
    for other in (x.transpose(2, 4), x.permute(0, 1, 3, 4, 2), x[:, :, ::2]):
        assert torch.equal(neuron(other), neuron(other.contiguous()))


def test_poisoned_memory_changes_nothing(neuron) -> None:
    x = torch.randn(4, 3, 33, requires_grad=True)
    y = neuron(x)
    (expected,) = torch.autograd.grad(y.sum(), x)
    poison = [torch.full((4, 3, 33), torch.nan) for _ in range(64)]
    del poison
    again = neuron(x)
    assert torch.equal(again, y) and torch.equal(torch.autograd.grad(again.sum(), x)[0], expected)


def test_one_node_with_its_domain_in_an_exported_graph(neuron) -> None:
    x = torch.randn(4, 3, 6)
    with torch.no_grad():
        program = torch.export.export(
            nn.Sequential(neuron).eval(), (x,), dynamic_shapes=({1: torch.export.Dim("batch")},)
        )
    nodes = [n for n in program.graph.nodes if "spikedrive" in str(n.target)]
    assert len(nodes) == 1
    target = nodes[0].target
    domain = NEURON_OPS[str(target)].domain(bind(target, nodes[0].args, nodes[0].kwargs))
    assert domain == neuron.domain
    assert torch.equal(program.module()(x[:, :2]), neuron(x)[:, :2])


# torch's own export copies its tree specs through a form that it has itself deprecated
@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*:FutureWarning")
def test_the_decomposition_is_plain_pytorch_and_equal(neuron) -> None:
    x = torch.randn(3, 2, 6)
    with torch.no_grad():
        plain = torch.export.export(nn.Sequential(neuron).eval(), (x,)).run_decompositions(decompositions())
    assert not any("spikedrive" in str(n.target) for n in plain.graph.nodes)
    assert torch.equal(plain.module()(x), neuron(x))


def test_torch_accepts_the_registration(neuron) -> None:
    from torch.library import opcheck

    name = type(neuron).__name__
    x = torch.randn(3, 2, 6, requires_grad=True)
    v = torch.zeros(2, 6)
    lif = (1.0, True, True, 0.0, False, True, "sigmoid", 4.0, True)
    calls = {
        "LIF": (torch.ops.spikedrive.lif_scan, (x, v, 0.5, *lif)),
        "IF": (torch.ops.spikedrive.lif_scan, (x, v, 1.0, *lif)),
        "PLIF": (torch.ops.spikedrive.plif_scan, (x, v, torch.tensor(0.5, requires_grad=True), *lif)),
        "ILIF": (torch.ops.spikedrive.ilif_scan, (x, v, 4, 0.25, 1.0, False, True, True, 1, 1.0, True)),
        "NILIF": (torch.ops.spikedrive.ilif_scan, (x, None, 4, 0.5, 1.0, False, True, True, 4, 0.25, True)),
    }
    op, args = calls[name]
    assert set(opcheck(op.default, args).values()) == {"SUCCESS"}


@pytest.mark.parametrize("reset_value", [0.0, -0.3])
@pytest.mark.parametrize("detach_reset", [True, False])
@pytest.mark.parametrize("decay_input", [True, False])
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("learned", [True, False])
def test_backward_through_time_equals_autograd(
    learned, reset, decay_input, detach_reset, reset_value
) -> None:
    options = {
        "decay_input": decay_input,
        "reset": reset,
        "detach_reset": detach_reset,
        "reset_value": reset_value,
    }
    neuron = (PLIF(tau=3.0, **options) if learned else LIF(0.7, **options)).double()
    x = (torch.randn(5, 2, 9, dtype=torch.float64) + 0.5).requires_grad_()
    v = torch.randn(2, 9, dtype=torch.float64, requires_grad=True)
    y, last = neuron.scan(x, v)
    weight, weight_last = torch.randn_like(y), torch.randn_like(last)
    inputs = [x, v, *neuron.parameters()]
    found = torch.autograd.grad((y * weight).sum() + (last * weight_last).sum(), inputs)

    decay = 1 - neuron.w.sigmoid() if learned else neuron.decay
    spikes, end = naive(x, v, neuron, decay)
    expected = torch.autograd.grad((spikes * weight).sum() + (end * weight_last).sum(), inputs)
    assert torch.equal(spikes, y)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)


class Heaviside(torch.autograd.Function):
    """The step, with a surrogate as its derivative: the naive way, one autograd node a time step."""

    @staticmethod
    def forward(ctx, u, surrogate):
        ctx.save_for_backward(u)
        ctx.surrogate = surrogate
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx, g):
        return g * ctx.surrogate.gradient(ctx.saved_tensors[0]), None


def naive(x, v, neuron, decay):
    """The scan written step by step and left to autograd."""
    out = []
    for x_t in x:
        h = decay * v + (1 - decay) * neuron.reset_value + (1 - decay if neuron.decay_input else 1.0) * x_t
        s = Heaviside.apply(h - neuron.threshold, neuron.surrogate)
        kept = s.detach() if neuron.detach_reset else s
        v = (
            (1 - kept) * h + kept * neuron.reset_value
            if neuron.reset == "hard"
            else h - neuron.threshold * kept
        )
        out.append(s)
    return torch.stack(out), v


@pytest.mark.parametrize("make", [lambda: LIF(reset="soft", decay=1.0, decay_input=False), lambda: IF(reset="soft"),
                                  lambda: ILIF(carry=True, decay=1.0)])  # fmt: skip
def test_charge_is_conserved_without_leak(make) -> None:
    neuron = make().double()
    x = torch.rand(20, 2, 8, dtype=torch.float64)
    y, v = neuron.scan(x, neuron.rest(x))
    torch.testing.assert_close(y.sum(0) + v, x.sum(0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("levels", [1, 2, 4, 7])
def test_an_integer_equals_its_thermometer_of_binary_steps(levels) -> None:
    neuron = ILIF(levels=levels)
    s = neuron(torch.randn(2, 3, 40) * levels)
    bits = torch.stack([(s > d).to(s.dtype) for d in range(levels)])
    weight = torch.randn(40, 5, dtype=torch.float64)
    assert torch.equal(bits.sum(0), s)
    torch.testing.assert_close((bits.double() @ weight).sum(0), s.double() @ weight, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LIF(decay=-0.1), r"LIF got decay=-0.1; it takes a number at least 0 and at most 1"),
        (lambda: LIF(decay=float("nan")), r"LIF got decay=nan"),
        (lambda: LIF(threshold=0), r"LIF got threshold=0; it takes a number above 0"),
        (lambda: IF(threshold=-1), r"IF got threshold=-1"),
        (lambda: PLIF(tau=1.0), r"PLIF got tau=1.0; it takes a number above 1"),
        (lambda: ILIF(levels=0), r"ILIF got levels=0; it takes a number at least 1"),
        (lambda: ILIF(scale=0), r"ILIF got scale=0"),
        (lambda: NILIF(inner_steps=0), r"NILIF got inner_steps=0"),
    ],
)
def test_a_wrong_argument_is_refused(make, message) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LIF(reset="none"), r"no reset named 'none'.*hard, soft|no reset named 'none'"),
        (lambda: ILIF(rounding="up"), r"no rounding named 'up'.*The nearest: half_up"),
        (lambda: ILIF(gate="shut"), r"no gate named 'shut'"),
        (lambda: get_neuron("LFI"), r"no neuron named 'LFI'; \d+ are known. The nearest: .*LIF"),
    ],
)
def test_an_unknown_name_lists_the_nearest(make, message, unchecked) -> None:
    with pytest.raises(UnknownNameError, match=message):
        make()


def test_a_wrong_input_is_refused(unchecked) -> None:
    with pytest.raises(ShapeError, match=r"shape \(5,\); it takes \(T, B, ...\) with T >= 1. Encode first"):
        LIF()(torch.randn(5))
    with pytest.raises(ShapeError, match="T >= 1"):
        LIF().scan(torch.randn(0, 2, 3), torch.zeros(2, 3))
    with pytest.raises(
        DtypeError, match=r"dtype torch.int64; it takes floating point. Convert with x.float\(\)"
    ):
        ILIF()(torch.ones(2, 2, dtype=torch.int64))
    with pytest.raises(DtypeError, match=r"a membrane of dtype torch\.float64"):
        LIF().scan(torch.randn(2, 2, 3), torch.zeros(2, 3, dtype=torch.float64))
