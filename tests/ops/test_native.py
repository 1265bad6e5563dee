"""The compiled scans: every instruction set equals the scalar one, and the scalar one the reference."""

from __future__ import annotations

import itertools

import pytest
import torch

from spikedrive import native
from spikedrive.errors import ConfigError, UnknownNameError
from spikedrive.neurons import IF, ILIF, LIF, NILIF, PLIF, CurrentLIF, TernaryLIF
from spikedrive.ops import Surrogate, implementation, lif_scan, surrogate
from spikedrive.ops.lif.native import SURROGATES


@pytest.fixture(autouse=True)
def _compiled(require) -> None:
    require(native.train is not None, f"the compiled module ({native.missing})")


WIDER = [isa for isa in native.isas() if isa != "scalar"]

NEURONS = {
    "hard": lambda **k: LIF(0.7, **k),
    "soft": lambda **k: LIF(0.7, reset="soft", decay_input=False, **k),
    "hard, attached": lambda **k: LIF(0.7, detach_reset=False, reset_value=-0.3, **k),
    "soft, attached, strict": lambda **k: LIF(0.7, reset="soft", detach_reset=False, strict=True, **k),
    "delayed, hard": lambda **k: LIF(0.7, delayed_reset=True, reset_value=-0.1, **k),
    "delayed, soft": lambda **k: LIF(0.7, delayed_reset=True, reset="soft", **k),
    "no leak": lambda **k: IF(0.5, **k),
    "learned": lambda **k: PLIF(3.0, reset_value=0.2, **k),
    "learned, soft": lambda **k: PLIF(3.0, reset="soft", decay_input=False, detach_reset=False, **k),
    "current": lambda **k: CurrentLIF(0.6, 0.7, reset="soft", **k),
    "current, attached": lambda **k: CurrentLIF(0.6, 0.7, detach_reset=False, **k),
    "ternary": lambda **k: TernaryLIF(0.7, **k),
    "ternary, attached": lambda **k: TernaryLIF(0.7, reset="soft", detach_reset=False, **k),
    "ternary, window": lambda **k: TernaryLIF(0.25, 0.5, decay_input=False, window=1.0, **k),
}
INTEGERS = {
    "one step": lambda: ILIF(),
    "half up, open": lambda: ILIF(threshold=0.25, scale=0.5, rounding="half_up", gate="open"),
    "odd threshold": lambda: ILIF(3, 0.3, carry=True, decay=0.7),
    "carried": lambda: ILIF(carry=True, decay=0.5, decay_input=True),
    "carried, attached": lambda: ILIF(carry=True, detach_reset=False),
    "repeated": lambda: NILIF(),
}
# a row that no vector fills, one that several tiles do, and ragged ends
SHAPES = [(1, 1), (3, 2, 7), (5, 1, 4097), (2, 3, 5, 3, 3)]


def run(neuron, x, state=None):
    """Outputs, last state, and the gradients of everything for a fixed random loss."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y, last = neuron.scan(x, neuron.rest(x) if state is None else state)
    ends = [] if last is None else list(last) if isinstance(last, tuple) else [last]
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(x.shape, generator=generator).to(x.dtype)
    loss = (y * weight).sum() + sum((end * weight[0]).sum() for end in ends)
    gradients = torch.autograd.grad(loss, [x, *neuron.parameters()])
    return [y.detach(), *(end.detach() for end in ends)], list(gradients)


@pytest.mark.parametrize("isa", WIDER)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", [*NEURONS, *INTEGERS])
def test_every_instruction_set_gives_the_same_bits(name, dtype, isa, monkeypatch) -> None:
    neuron = (NEURONS | INTEGERS)[name]().to(dtype)
    for shape in SHAPES:
        x = (torch.randn(shape) * 2).to(dtype)
        monkeypatch.setenv("SPIKEDRIVE_ISA", isa)
        values, gradients = run(neuron, x)
        monkeypatch.setenv("SPIKEDRIVE_ISA", "scalar")
        expected, wanted = run(neuron, x)
        for a, b in zip([*values, gradients[0]], [*expected, wanted[0]], strict=True):
            assert torch.equal(a, b)
        # the sum over all elements is taken in another order
        for a, b in zip(gradients[1:], wanted[1:], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-2 if dtype == torch.bfloat16 else 1e-4, atol=1e-3)


@pytest.mark.parametrize("isa", WIDER)
@pytest.mark.parametrize("size", [16 * 70_001, 16 * 70_001 + 3])
@pytest.mark.parametrize(
    "make", [LIF, lambda: LIF(surrogate=surrogate.rectangular()), lambda: ILIF(carry=True)]
)
def test_results_that_go_past_the_caches_are_the_same(make, size, isa, monkeypatch) -> None:
    neuron, x = make(), torch.randn(2, 1, size)
    assert x.nbytes > 8 << 20
    monkeypatch.setenv("SPIKEDRIVE_ISA", isa)
    values, gradients = run(neuron, x)
    monkeypatch.setenv("SPIKEDRIVE_ISA", "scalar")
    expected, wanted = run(neuron, x)
    for a, b in zip([*values, *gradients], [*expected, *wanted], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("isa", WIDER)
@pytest.mark.parametrize("name", SURROGATES)
def test_every_surrogate_is_the_same_on_every_instruction_set(name, isa, monkeypatch) -> None:
    alpha = surrogate.FORMS[name].default
    for save in ("compact", "full"):
        neuron = LIF(surrogate=Surrogate(name, alpha), save=save)
        x = torch.randn(3, 2, 41) * 2
        monkeypatch.setenv("SPIKEDRIVE_ISA", isa)
        _, (found,) = run(neuron, x)
        monkeypatch.setenv("SPIKEDRIVE_ISA", "scalar")
        _, (expected,) = run(neuron, x)
        assert torch.equal(found, expected) and found.isfinite().all()


@pytest.mark.parametrize(("save", "tolerance"), [("compact", 5e-4), ("full", 2e-6)])
@pytest.mark.parametrize("name", SURROGATES)
def test_every_surrogate_equals_the_reference(name, save, tolerance, monkeypatch) -> None:
    neuron = LIF(0.7, save=save, surrogate=Surrogate(name, surrogate.FORMS[name].default))
    x = torch.randn(6, 2, 333) * 2
    values, (found,) = run(neuron, x)
    monkeypatch.setenv("SPIKEDRIVE_IMPL", "reference")
    expected, (wanted,) = run(neuron, x)
    assert all(torch.equal(a, b) for a, b in zip(values, expected, strict=True))
    assert (found - wanted).norm() <= tolerance * wanted.norm() and wanted.norm() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "save"), [*itertools.product(NEURONS, ["compact", "full"])])
def test_neurons_equal_the_reference(name, save, dtype, monkeypatch) -> None:
    neuron = NEURONS[name](save=save).to(dtype)
    compare(neuron, dtype, 1e-11 if dtype == torch.float64 else 2e-6 if save == "full" else 5e-4, monkeypatch)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", INTEGERS)
def test_integers_equal_the_reference(name, dtype, monkeypatch) -> None:
    compare(INTEGERS[name]().to(dtype), dtype, 1e-6 if dtype == torch.float32 else 1e-13, monkeypatch)


def compare(neuron, dtype, tolerance, monkeypatch) -> None:
    for shape in SHAPES:
        x = torch.randn(shape, dtype=dtype) * 2
        given = torch.randn(shape[1:], dtype=dtype)
        states = [None] if neuron.rest(x) is None and isinstance(neuron, (ILIF, NILIF)) else [None, given]
        for state in states:
            if isinstance(neuron, CurrentLIF) and state is not None:
                state = (state, state.flip(-1))
            values, gradients = run(neuron, x, state)
            monkeypatch.setenv("SPIKEDRIVE_IMPL", "reference")
            expected, wanted = run(neuron, x, state)
            monkeypatch.delenv("SPIKEDRIVE_IMPL")
            assert all(torch.equal(a, b) for a, b in zip(values, expected, strict=True))
            for a, b in zip(gradients, wanted, strict=True):
                # a sum over the layer may cancel, and the reference's slope does far from the threshold
                narrow = dtype == torch.float32
                atol = (1e-4 if narrow else 1e-9) if a.dim() == 0 else 1e-6 if narrow else 0
                assert (a - b).norm() <= tolerance * b.norm() + atol


def test_the_spike_survives_rounding_next_to_the_threshold() -> None:
    one = torch.ones(1)
    below, above = torch.nextafter(one, one * 0).item(), torch.nextafter(one, one * 2).item()
    for strict in (False, True):
        neuron = LIF(1.0, decay_input=False, strict=strict)
        x = torch.tensor([[below, 1.0, above]], requires_grad=True).unsqueeze(0).repeat(2, 1, 1)
        x[1] = 0
        x = x.detach().requires_grad_()
        y, last = neuron.scan(x, None)
        fired = y[0, 0]
        assert fired.tolist() == [0.0, 0.0 if strict else 1.0, 1.0]
        # the gradient of the last membrane passes only where nothing fired
        (gradient,) = torch.autograd.grad(last.sum(), x)
        assert torch.equal(gradient[0, 0] != 0, fired == 0)


def test_tiny_thresholds_keep_their_spikes() -> None:
    neuron = LIF(1.0, 1e-38, decay_input=False)
    x = torch.tensor([9e-39, 1e-38, 1.1e-38]).view(1, 1, 3).requires_grad_()
    y, last = neuron.scan(x, None)
    assert y.flatten().tolist() == [0.0, 1.0, 1.0]
    assert torch.autograd.grad(last.sum(), x)[0].flatten().tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("make", [LIF, PLIF, lambda: ILIF(carry=True), ILIF, CurrentLIF, TernaryLIF])
def test_two_threads_give_the_same_bits(make) -> None:
    neuron, x = make(), torch.randn(3, 4, 30000)
    one = run(neuron, x)
    torch.set_num_threads(2)
    try:
        two = run(neuron, x)
    finally:
        torch.set_num_threads(1)
    for a, b in zip([*one[0], *one[1]], [*two[0], *two[1]], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("make", [LIF, PLIF, lambda: ILIF(carry=True), ILIF, CurrentLIF, TernaryLIF])
def test_memory_formats_are_kept_and_empty_batches_pass(make) -> None:
    neuron = make()
    image = torch.randn(3 * 2, 4, 5, 6).to(memory_format=torch.channels_last).unflatten(0, (3, 2))
    y = neuron(image)
    assert y.stride() == image.stride() and torch.equal(y, neuron(image.contiguous()))
    x = image.detach().requires_grad_()
    (gradient,) = torch.autograd.grad((neuron(x) * image).sum(), x)
    assert gradient.stride() == image.stride()
    gaps = torch.randn(3, 2, 8, 6)[:, :, ::2]
    assert torch.equal(neuron(gaps), neuron(gaps.contiguous())) and neuron(gaps).is_contiguous()
    assert neuron(torch.randn(3, 0, 4)).shape == (3, 0, 4)


@pytest.mark.parametrize(("neuron", "bytes_each"), [
    (LIF(surrogate=surrogate.rectangular()), 1 / 4), (LIF(), 2), (LIF(save="full"), 4), (PLIF(), 4),
    (LIF(surrogate=surrogate.rectangular(), detach_reset=False), 4), (ILIF(), 1 / 8), (ILIF(carry=True), 1 / 8),
    (TernaryLIF(window=1.0), 1 / 4), (CurrentLIF(), 2),
])  # fmt: skip
def test_what_is_kept_for_the_backward_pass(neuron, bytes_each) -> None:
    x, kept = torch.randn(4, 8, 128, requires_grad=True), {}

    def note(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() if tensor.dim() else 0
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        neuron(x)
    assert sum(kept.values()) == pytest.approx(bytes_each * x.numel(), abs=16)


def test_a_delayed_reset_inside_the_gradient_is_refused() -> None:
    for call in (
        lambda: LIF(delayed_reset=True, detach_reset=False),
        lambda: lif_scan(
            torch.zeros(2, 1, 3), decay=0.5, threshold=1.0, surrogate=surrogate.atan(),
            delayed_reset=True, detach_reset=False,
        ),
    ):  # fmt: skip
        with pytest.raises(
            ConfigError, match=r"got delayed_reset=True with detach_reset=False; .* Leave detach"
        ):
            call()


@pytest.mark.parametrize(
    ("neuron", "dtype", "said"),
    [
        (LIF(), torch.float16, "none is written for torch.float16 on cpu"),
        (PLIF(), torch.float16, "none is written for torch.float16 on cpu"),
    ],
)
def test_what_no_kernel_covers_is_said_once(neuron, dtype, said, caplog) -> None:
    implementation._say_once.cache_clear()
    for _ in range(2):
        neuron.to(dtype)(torch.zeros(2, 1, 3, dtype=dtype))
    assert [r.getMessage() for r in caplog.records] == [f"no kernels for this, it runs in PyTorch: {said}"]


def test_snntorchs_delayed_reset() -> None:
    beta, threshold = 0.9, 1.0
    x = torch.randn(12, 2, 9, dtype=torch.float64) + 0.4
    for reset in ("soft", "hard"):
        v, expected, membranes = torch.zeros(2, 9, dtype=torch.float64), [], []
        for x_t in x:
            fired = (v > threshold).double()
            v = beta * v + x_t - fired * threshold if reset == "soft" else beta * (1 - fired) * v + x_t
            expected.append((v > threshold).double())
            membranes.append(v)
        neuron = LIF(beta, threshold, decay_input=False, reset=reset, strict=True, delayed_reset=True)
        y, last = neuron.scan(x, None)
        assert torch.equal(y, torch.stack(expected)) and y.sum() > 0
        torch.testing.assert_close(last, membranes[-1], rtol=0, atol=1e-12)


def test_an_instruction_set_that_is_not_here_is_refused(monkeypatch) -> None:
    monkeypatch.setenv("SPIKEDRIVE_ISA", "avx")
    with pytest.raises(
        UnknownNameError, match=r"no instruction set named 'avx'; 5 are known. The nearest: avx2"
    ):
        LIF()(torch.randn(2, 2, 3))
    monkeypatch.setenv("SPIKEDRIVE_ISA", "avx512")
    monkeypatch.setattr(native, "isas", lambda: ["scalar"])
    native._level.cache_clear()
    with pytest.raises(
        ConfigError, match=r"SPIKEDRIVE_ISA got 'avx512'; this processor runs scalar. Name one"
    ):
        LIF()(torch.randn(2, 2, 3))
    native._level.cache_clear()
