"""What the ternary and the current-based scan keep for the backward pass, and what it costs in exactness."""

from __future__ import annotations

import pytest
import torch

from spikedrive import native
from spikedrive.ops import surrogate
from spikedrive.ops.current import current_scan
from spikedrive.ops.surrogate import FORMS, Surrogate
from spikedrive.ops.ternary import ternary_scan
from spikedrive.ops.ternary.native import SURROGATES, TWO_VALUES


@pytest.fixture(autouse=True)
def _compiled(require) -> None:
    require(native.train is not None, f"the compiled module ({native.missing})")


WIDER = [isa for isa in native.isas() if isa != "scalar"]
# several tiles and a ragged end, and both signs on either side of the thresholds
SHAPES = [(4, 2, 333), (2, 1, 4097)]
NEURONS = {
    "hard": {},
    "soft": {"hard_reset": False, "decay_input": False},
    "soft, attached": {"hard_reset": False, "detach_reset": False},
    "reset value": {"reset_value": -0.3},
}
CASES = {
    "sigmoid": {},
    "rectangle": {"surrogate": surrogate.rectangular(0.8)},
    "rectangles that touch": {"surrogate": surrogate.rectangular(1.2)},
    "rectangles that meet": {"surrogate": surrogate.rectangular(2.0)},
    "window": {"window": 0.9},
}


def run(x, v=None, **changes):
    """Spikes and last membrane, then the gradients of x and of v."""
    leaves = [
        x.clone().requires_grad_(),
        (torch.zeros_like(x[0]) if v is None else v.clone()).requires_grad_(),
    ]
    o = {"decay": 0.7, "threshold": 0.6, "surrogate": surrogate.sigmoid(), **changes}
    spikes, last = ternary_scan(*leaves, **o)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(y.shape, generator=generator).to(y.dtype) for y in (spikes, last)]
    gradients = torch.autograd.grad((spikes, last), leaves, weights)
    return [spikes.detach(), last.detach()], gradients


def kept_bytes(scan, x) -> int:
    kept = {}

    def note(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        scan(x)
    return sum(kept.values())


BYTES = [
    ({}, 2),
    ({"hard_reset": False, "detach_reset": False}, 2),
    ({"detach_reset": False}, 4),
    ({"compact": False}, 4),
    ({"window": 0.9}, 1 / 4),
    ({"window": 0.9, "hard_reset": False, "detach_reset": False}, 1 / 4),
    ({"window": 0.9, "compact": False}, 4),
    ({"surrogate": surrogate.rectangular(1.2)}, 1 / 4),
    ({"surrogate": surrogate.rectangular(1.3)}, 2),
    ({"surrogate": surrogate.rectangular_closed(1.1)}, 1 / 4),
    ({"surrogate": surrogate.rectangular_closed(1.2)}, 2),
    ({"surrogate": surrogate.leaky_rectangular(0.6)}, 1 / 4),
    ({"surrogate": surrogate.straight_through()}, 1 / 4),
    ({"surrogate": surrogate.log_tailed_relu()}, 2),
    ({"surrogate": surrogate.sigmoid(2000.0)}, 4),
    ({"surrogate": surrogate.fourier()}, 4),
]


@pytest.mark.parametrize(("changes", "bytes_each"), BYTES)
def test_a_ternary_scan_keeps_few_bytes(changes, bytes_each) -> None:
    o = {"decay": 0.7, "threshold": 0.6, "surrogate": surrogate.atan(), **changes}
    x = torch.randn(4, 8, 128, requires_grad=True)
    assert kept_bytes(lambda x: ternary_scan(x, **o), x) == bytes_each * x.numel()
    assert kept_bytes(lambda x: ternary_scan(x, **o), x.detach().double().requires_grad_()) == 8 * x.numel()


@pytest.mark.parametrize(("changes", "bytes_each"), [
    ({}, 2), ({"surrogate": surrogate.rectangular()}, 1 / 4), ({"compact": False}, 4), ({"detach_reset": False}, 4),
    ({"hard_reset": False, "detach_reset": False, "strict": True}, 2),
])  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_current_based_scan_keeps_what_the_leaky_one_keeps(changes, bytes_each, dtype) -> None:
    o = {"current_decay": 0.6, "decay": 0.7, "threshold": 1.0, "surrogate": surrogate.atan(), **changes}
    x = torch.randn(4, 8, 128, dtype=dtype, requires_grad=True)
    assert kept_bytes(lambda x: current_scan(x, **o), x) == bytes_each * x.numel()


@pytest.mark.parametrize("isa", WIDER)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", CASES)
def test_every_instruction_set_gives_the_same_bits(case, dtype, isa, monkeypatch) -> None:
    for changes in NEURONS.values():
        for shape in SHAPES:
            x, v = torch.randn(shape).to(dtype), torch.randn(shape[1:]).to(dtype)
            results = []
            for name in (isa, "scalar"):
                monkeypatch.setenv("SPIKEDRIVE_ISA", name)
                values, gradients = run(x, v, **changes, **CASES[case])
                results.append([*values, *gradients])
            assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("neuron", NEURONS)
def test_few_bits_give_the_references_gradient(neuron, case, monkeypatch) -> None:
    exact = case in ("rectangle", "rectangles that touch", "window")
    # the edges of every window and threshold, and the nearest numbers on both sides
    edges = torch.tensor([0.0, 0.1, 0.2, 0.4, 0.6, 0.9, 1.0, 1.2, 1.6])
    edges = torch.cat([edges, edges.nextafter(edges + 1), edges.nextafter(edges - 1)])
    x = torch.randn(5, 2, 333)
    x[0, 0, : 2 * len(edges)] = torch.cat([edges, -edges]) / (
        0.3 if NEURONS[neuron].get("decay_input", True) else 1
    )
    found, gradients = run(x, **NEURONS[neuron], **CASES[case])
    monkeypatch.setenv("SPIKEDRIVE_IMPL", "reference")
    expected, wanted = run(x, **NEURONS[neuron], **CASES[case])
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert {-1.0, 0.0, 1.0} == set(found[0].unique().tolist())
    for a, b in zip(gradients, wanted, strict=True):
        assert (a - b).norm() <= (1e-6 if exact else 5e-4) * b.norm() and b.norm() > 0


@pytest.mark.parametrize("name", SURROGATES)
def test_every_surrogate_is_within_its_bound(name, monkeypatch) -> None:
    x, o = torch.randn(5, 2, 333), {"surrogate": Surrogate(name, FORMS[name].default), "threshold": 1.0}
    compact, full = (run(x, compact=compact, **o)[1][0] for compact in (True, False))
    monkeypatch.setenv("SPIKEDRIVE_IMPL", "reference")
    wanted = run(x, **o)[1][0]
    assert (full - wanted).norm() <= 2e-6 * wanted.norm() and wanted.norm() > 0
    # rounding is seen where there is any, and `compact=False` has none
    assert (compact - full).norm() <= (2e-6 if name in TWO_VALUES else 5e-4) * wanted.norm()


@pytest.mark.parametrize("isa", WIDER)
def test_results_that_go_past_the_caches_are_the_same(isa, monkeypatch) -> None:
    x = torch.randn(2, 1, 16 * 70_001)
    assert x.nbytes > 8 << 20
    for case in ("sigmoid", "rectangle"):
        results = []
        for name in (isa, "scalar"):
            monkeypatch.setenv("SPIKEDRIVE_ISA", name)
            values, gradients = run(x, **CASES[case])
            results.append([*values, *gradients])
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("implementation", ["reference", "auto"])
def test_an_infinite_gradient_of_the_last_membrane_stays_infinite(implementation, monkeypatch) -> None:
    monkeypatch.setenv("SPIKEDRIVE_IMPL", implementation)
    x = torch.zeros(1, 1, 20, requires_grad=True)
    _, last = ternary_scan(
        x, decay=0.5, threshold=1.0, surrogate=surrogate.sigmoid(), hard_reset=False, decay_input=False
    )
    last.backward(torch.full_like(last, torch.inf))
    assert x.grad is not None and x.grad.isposinf().all()
