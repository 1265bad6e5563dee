"""The Triton kernels equal plain PyTorch: spikes to the last bit, gradients as documented."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils._pytree import tree_leaves

from ops import triton_device
from spikedrive.errors import ConfigError
from spikedrive.neurons import IF, ILIF, LIF, NILIF, PLIF, CurrentLIF, TernaryLIF
from spikedrive.ops import surrogate
from spikedrive.ops.current import reference as current_reference
from spikedrive.ops.ilif import reference as ilif_reference
from spikedrive.ops.ilif.options import Options as IntegerOptions
from spikedrive.ops.lif import reference as lif_reference
from spikedrive.ops.lif.native import HALF, saving
from spikedrive.ops.lif.options import Options
from spikedrive.ops.surrogate import FORMS, GRADIENTS
from spikedrive.ops.ternary import reference as ternary_reference
from spikedrive.ops.ternary.native import saving as ternary_saving
from spikedrive.ops.ternary.options import Options as TernaryOptions

pytestmark = pytest.mark.triton

DEVICE = triton_device.DEVICE
# one block of 1024 elements and a part of one, and a part of a byte of bits
SHAPE = (3, 3, 467)


@pytest.fixture(autouse=True, scope="module")
def _interpreter() -> None:
    triton_device.prepare()


def options(decay: float | torch.Tensor = 0.7, **changes: object) -> Options:
    """A leaky neuron, its membrane kept in few bits."""
    return Options(decay, 1.0, True, True, 0.0, False, True, "atan", 2.0, True)._replace(**changes)


def distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative, in the norm."""
    return ((found - expected).norm() / expected.norm()).item()


RECTANGLE = {"surrogate": "rectangular", "alpha": 1.0}
VARIANTS = {
    "half": {},
    "soft": {"hard_reset": False},
    "plain input": {"decay_input": False},
    "reset value": {"reset_value": -0.3},
    "strict": {"strict": True},
    "attached": {"detach_reset": False},
    "no gradient of v": {"grad_v_wanted": False},
    "attached soft": {"detach_reset": False, "hard_reset": False},
    "full": {"compact": False},
    "bits": RECTANGLE,
    "bits, soft, attached": {**RECTANGLE, "hard_reset": False, "detach_reset": False},
    "bits, two slopes": {"surrogate": "leaky_rectangular", "alpha": 0.4},
    "full, as bits would not do": {**RECTANGLE, "detach_reset": False},
    "delayed": {"delayed_reset": True, "reset_value": -0.3},
    "delayed soft": {"delayed_reset": True, "hard_reset": False},
    "learned": {"learned": True},
    "learned, soft, plain input": {"learned": True, "hard_reset": False, "decay_input": False},
    "learned, attached, reset value": {"learned": True, "detach_reset": False, "reset_value": -0.3},
    "learned, delayed": {"learned": True, "delayed_reset": True},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("changes", VARIANTS.values(), ids=list(VARIANTS))
def test_the_leaky_scan_equals_its_reference(changes, dtype) -> None:
    from spikedrive.ops.lif import triton as lif_triton

    changes = dict(changes)
    decay = torch.tensor(0.7, dtype=dtype, device=DEVICE) if changes.pop("learned", False) else 0.7
    o = options(decay, **changes)
    x = torch.randn(SHAPE, dtype=dtype, device=DEVICE) + 0.5
    # a scan that begins at rest, and whose last membrane nobody uses, has neither
    for v, grad_last in ((None, None), (torch.randn_like(x[0]), torch.randn_like(x[0]))):
        spikes, last, saved = lif_triton.forward(x, v, o)
        expected, expected_last, charged = lif_reference.forward(x, v, o)
        assert torch.equal(spikes, expected) and torch.equal(last, expected_last)
        assert saved.shape == lif_triton.saved_like(x, o).shape
        grad = torch.randn_like(x)
        found = lif_triton.backward(grad, grad_last, saved, x, v, o)
        wanted = lif_reference.backward(grad, grad_last, charged, x, v, o)
        bound = 5e-4 if saving(o, dtype) == HALF else 1e-5 if dtype == torch.float32 else 1e-12
        assert distance(found[0], wanted[0]) < bound
        if o.grad_v_wanted:
            assert distance(found[1], wanted[1]) < bound
        if o.learned:
            assert distance(found[2], wanted[2]) < bound


INTEGERS = {
    "": {},
    "half up, open": {"half_even": False, "closed_gate": False, "scale": 0.25},
    "a threshold of no power of two": {"threshold": 0.7},
    "carry": {"carry": True, "threshold": 0.25},
    "carry, input decays": {"carry": True, "decay_input": True},
    "carry, attached": {"carry": True, "detach_reset": False},
    "repeats": {"repeats": 3},
    "repeats, carry": {"repeats": 3, "carry": True, "decay_input": True, "levels": 2},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("changes", INTEGERS.values(), ids=list(INTEGERS))
def test_the_integer_scan_equals_its_reference(changes, dtype) -> None:
    from spikedrive.ops.ilif import triton as ilif_triton

    changes = dict(changes)
    carry = changes.pop("carry", False)
    o = IntegerOptions(4, 0.6, 1.0, False, True, True, 1, 1.0, True)._replace(**changes)
    # every half level and every bound, with the nearest numbers on both sides
    edges = torch.arange(-2, 2 * o.levels + 3, dtype=dtype) / 2 * o.threshold
    x = torch.randn(SHAPE, dtype=dtype) * o.levels * o.threshold
    x.view(-1)[: 3 * len(edges)] = torch.cat([edges, edges.nextafter(edges + 1), edges.nextafter(edges - 1)])
    x = x.to(DEVICE)
    v = torch.randn_like(x[0]) if carry else None
    y, last, gates = ilif_triton.forward(x, v, o)
    expected, expected_last, opened = ilif_reference.forward(x, v, o)
    assert torch.equal(y, expected) and torch.equal(last, expected_last)
    assert gates.dtype == torch.uint8 and 8 * gates.numel() < opened.numel() + 8 * len(gates)
    grad, grad_last = torch.randn_like(x), torch.randn_like(x[0]) if carry else None
    found = ilif_triton.backward(grad, grad_last, gates, carry, o)
    wanted = ilif_reference.backward(grad, grad_last, opened, carry, o)
    for a, b in zip(found[: 1 + carry], wanted, strict=False):
        assert distance(a, b) < (1e-6 if dtype == torch.float32 else 1e-14)


CURRENTS = {
    "half": {},
    "soft, attached": {"hard_reset": False, "detach_reset": False},
    "full, reset value": {"detach_reset": False, "reset_value": -0.3},
    "bits": RECTANGLE,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("changes", CURRENTS.values(), ids=list(CURRENTS))
def test_the_current_based_scan_equals_its_reference(changes, dtype) -> None:
    from spikedrive.ops.current import triton as current_triton

    o = options(0.6, decay_input=False, **changes)
    x = torch.randn(SHAPE, dtype=dtype, device=DEVICE)
    states = torch.randn_like(x[0]), torch.randn_like(x[0])
    for (v, c), grads in (((None, None), (None, None)), (states, states[::-1])):
        *found, saved = current_triton.forward(x, v, c, 0.7, o)
        *expected, charged = current_reference.forward(x, v, c, 0.7, o)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        grad = torch.randn_like(x)
        back = current_triton.backward(grad, *grads, saved, 0.7, o)
        wanted = current_reference.backward(grad, *grads, charged, 0.7, o)
        bound = 5e-4 if saving(o, dtype) == HALF else 1e-5 if dtype == torch.float32 else 1e-12
        assert all(distance(a, b) < bound for a, b in zip(back, wanted, strict=True))


TERNARIES = {
    "": {},
    "soft, attached, plain input": {"hard_reset": False, "detach_reset": False, "decay_input": False},
    "attached, reset value": {"detach_reset": False, "reset_value": 0.1},
    "window": {"window": 0.8},
    "window, soft, attached": {"window": 0.8, "hard_reset": False, "detach_reset": False},
    "window, attached": {"window": 1.2, "detach_reset": False},
    "window, full": {"window": 0.8, "compact": False},
    "full": {"compact": False},
    "bits": {**RECTANGLE, "hard_reset": False, "detach_reset": False},
    "bits, two slopes": {"surrogate": "leaky_rectangular", "alpha": 0.4},
    "bits, everywhere": {"surrogate": "straight_through", "alpha": 0.4},
    "half, as windows meet": {"surrogate": "rectangular", "alpha": 1.2},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("changes", TERNARIES.values(), ids=list(TERNARIES))
def test_the_ternary_scan_equals_its_reference(changes, dtype) -> None:
    from spikedrive.ops.ternary import triton as ternary_triton

    o = TernaryOptions(0.6, 0.5, True, True, 0.0, True, 0.0, "atan", 2.0, True)._replace(**changes)
    x = torch.randn(SHAPE, dtype=dtype, device=DEVICE)
    for v, grad_last in ((None, None), (torch.randn_like(x[0]), torch.randn_like(x[0]))):
        spikes, last, saved = ternary_triton.forward(x, v, o)
        expected, expected_last, charged = ternary_reference.forward(x, v, o)
        assert torch.equal(spikes, expected) and torch.equal(last, expected_last)
        grad = torch.randn_like(x)
        found = ternary_triton.backward(grad, grad_last, saved, o)
        wanted = ternary_reference.backward(grad, grad_last, charged, o)
        bound = 5e-4 if ternary_saving(o, dtype) == HALF else 1e-5 if dtype == torch.float32 else 1e-12
        assert all(distance(a, b) < bound for a, b in zip(found, wanted, strict=True))


def test_a_level_of_nan_is_nan() -> None:
    from spikedrive.ops.ilif import triton as ilif_triton

    x = torch.full((1, 1, 3), torch.nan, device=DEVICE)
    y, _, _ = ilif_triton.forward(x, None, IntegerOptions(4, 0.0, 1.0, False, True, True, 1, 1.0, False))
    assert y.isnan().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_narrow_input_keeps_its_membrane_in_fp32(dtype) -> None:
    from spikedrive.ops.lif import triton as lif_triton

    x = torch.randn(SHAPE, device=DEVICE).to(dtype) + 0.5
    grad = torch.randn(SHAPE, device=DEVICE).to(dtype)
    spikes, _, saved = lif_triton.forward(x, None, options())
    expected, _, charged = lif_reference.forward(x.float(), None, options())
    assert spikes.dtype == dtype and torch.equal(spikes.float(), expected)
    found, _, _ = lif_triton.backward(grad, None, saved, None, None, options())
    wanted, _, _ = lif_reference.backward(grad.float(), None, charged, None, None, options())
    # the last bits of the result itself: the interpreter cuts them off where a GPU rounds
    assert found.dtype == dtype and distance(found.float(), wanted) < 1e-2


@pytest.mark.parametrize("name", list(GRADIENTS))
def test_every_surrogate_has_its_slope(name) -> None:
    from spikedrive.ops.lif import triton as lif_triton

    alpha = FORMS[name].default or 0.3
    # one step: the gradient is the slope at h = x
    o = options(0.0, surrogate=name, alpha=alpha, compact=False)
    edges = torch.tensor(
        [0.0, 0.5, -0.5, 1.0, -1.0, alpha, -alpha, alpha / 2, -alpha / 2, 1e-9], device=DEVICE
    )
    for dtype, bound in ((torch.float32, 2e-6), (torch.float64, 1e-14)):
        u = torch.cat([edges, 2 * torch.randn(300, device=DEVICE)]).to(dtype)
        x = (u + 1).view(1, 1, -1)
        _, _, saved = lif_triton.forward(x, None, o)
        slope, _, _ = lif_triton.backward(torch.ones_like(x), None, saved, None, None, o)
        torch.testing.assert_close(slope, GRADIENTS[name](x - 1, alpha), rtol=bound, atol=bound)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3, 5), (4, 0, 3), (2, 1, 1024), (3, 2, 1, 5, 7)], ids=str)
def test_odd_shapes(shape) -> None:
    from spikedrive.ops.lif import triton as lif_triton

    for changes in ({}, RECTANGLE):
        o, x = options(**changes), torch.randn(shape, device=DEVICE) + 0.5
        spikes, _, saved = lif_triton.forward(x, None, o)
        expected, _, charged = lif_reference.forward(x, None, o)
        grad_x, grad_v, _ = lif_triton.backward(x, None, saved, None, None, o)
        wanted, wanted_v, _ = lif_reference.backward(x, None, charged, None, None, o)
        assert torch.equal(spikes, expected)
        torch.testing.assert_close(grad_x, wanted, rtol=1e-2, atol=1e-2)
        torch.testing.assert_close(grad_v, wanted_v, rtol=1e-2, atol=1e-2)


def test_channels_last_is_scanned_as_it_lies() -> None:
    from spikedrive.ops.lif import triton as lif_triton

    x = torch.randn(3, 2, 4, 5, 6, device=DEVICE).permute(0, 1, 4, 2, 3)
    v = torch.randn(2, 6, 4, 5, device=DEVICE)
    spikes, last, _ = lif_triton.forward(x, v, options())
    expected, expected_last, _ = lif_reference.forward(x, v, options())
    assert spikes.stride() == x.stride() and last.stride() == x.stride()[1:]
    assert torch.equal(spikes, expected) and torch.equal(last, expected_last)


def test_poisoned_memory_changes_nothing() -> None:
    from spikedrive.ops.lif import triton as lif_triton

    x = torch.randn(SHAPE, device=DEVICE)
    for changes in ({}, RECTANGLE, {"compact": False}):
        o = options(**changes)
        results = []
        for _ in range(2):
            spikes, last, saved = lif_triton.forward(x, None, o)
            results.append((spikes, last, *lif_triton.backward(x, None, saved, None, None, o)[:2]))
            poison = [torch.full(SHAPE, torch.nan, device=DEVICE) for _ in range(32)]
            del poison, spikes, last, saved
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


NEURONS = {
    "LIF": lambda: LIF(reset_value=-0.2, surrogate=surrogate.rectangular(2.0)),
    "IF": lambda: IF(reset="soft"),
    "PLIF": lambda: PLIF(tau=3.0),
    "ILIF": lambda: ILIF(carry=True),
    "NILIF": NILIF,
    "CurrentLIF": CurrentLIF,
    "TernaryLIF": TernaryLIF,
}


@pytest.mark.parametrize("make", NEURONS.values(), ids=list(NEURONS))
def test_a_neuron_runs_on_them_forward_and_backward(make, monkeypatch) -> None:
    neuron = make().to(DEVICE)
    x = torch.randn(4, 3, 5, device=DEVICE, requires_grad=True)
    weight = torch.randn(4, 3, 5, device=DEVICE)
    results = []
    for name in ("triton", "reference"):
        monkeypatch.setenv("SPIKEDRIVE_IMPL", name)
        y, state = neuron.scan(x, neuron.rest(x))
        total = (y * weight).sum() + sum((s * weight[0]).sum() for s in tree_leaves(state) if s is not None)
        results.append((y, *torch.autograd.grad(total, [x, *neuron.parameters()])))
    assert torch.equal(results[0][0], results[1][0])
    for a, b in zip(results[0][1:], results[1][1:], strict=True):
        assert distance(a, b) < 5e-4


def test_a_cpu_has_them_in_the_interpreter_only(monkeypatch) -> None:
    monkeypatch.setenv("SPIKEDRIVE_IMPL", "triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(
        ConfigError, match=r"got 'triton' for a tensor on cpu; Triton takes CUDA tensors.*Unset"
    ):
        LIF()(torch.zeros(2, 1, 3))


@pytest.mark.skipif(DEVICE == "cuda", reason="the tests above compile every kernel for this GPU")
def test_the_kernels_compile_for_gpus() -> None:
    script = Path(__file__).with_name("compile_triton.py")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) > 0, "no kernel was compiled"


def test_nothing_imports_triton_before_a_tensor_asks_for_it() -> None:
    script = "import sys, torch, spikedrive as sd; from spikedrive.neurons import LIF; LIF()(torch.ones(2, 1, 3)); "
    script += "print(*[m for m in sys.modules if m.startswith('spikedrive.ops.tiles')])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
