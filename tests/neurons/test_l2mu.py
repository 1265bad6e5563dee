"""L2MU: the populations written out, and the sizes of the published networks."""

from __future__ import annotations

import pytest
import torch

from spikedrive.errors import ConfigError
from spikedrive.neurons import L2MU
from spikedrive.neurons.legendre import legendre_matrices


def _cell(**options) -> L2MU:
    cell = L2MU(
        3, 5, memories=4, order=3, window=6.0, decays=(0.8, 0.4, 0.6), thresholds=(0.2, 0.3, 0.35), **options
    )
    with torch.no_grad():
        cell.u_from_m.normal_(std=0.3)
    return cell.double()


class Leaky:
    """One population, as snnTorch writes it: membrane and current of its own, reset one step late."""

    def __init__(self, decay: float, threshold: float, current_decay: float) -> None:
        self.decay, self.threshold, self.current_decay = decay, threshold, current_decay
        self.v: torch.Tensor | float = 0.0
        self.c: torch.Tensor | float = 0.0

    def __call__(self, current: torch.Tensor) -> torch.Tensor:
        late = float(self.threshold) * (torch.as_tensor(self.v) - self.threshold > 0).double()
        self.c = self.current_decay * self.c + current
        self.v = self.decay * self.v + self.c - late
        return (self.v > self.threshold).double()


@pytest.mark.parametrize("current_decay", [0.0, 0.5])
@pytest.mark.parametrize("transposed", [False, True])
def test_it_equals_its_populations_written_out(current_decay, transposed) -> None:
    cell = _cell(current_decay=current_decay, transposed=transposed)
    x = torch.randn(12, 2, 3, dtype=torch.float64)
    a, b = (m.float().double() for m in legendre_matrices(3, 6.0))
    decays, thresholds = cell.decays.detach().tolist(), cell.thresholds.detach().tolist()
    u, m, h = (Leaky(d, t, current_decay) for d, t in zip(decays, thresholds, strict=True))
    s_m, s_h = torch.zeros(2, 4, 3).double(), torch.zeros(2, 5).double()
    expected = []
    for x_t in x:
        s_u = u(x_t @ cell.u_from_x.T + s_h @ cell.u_from_h.T + s_m.reshape(2, 12) @ cell.u_from_m.T)
        memory = torch.stack(
            [s_m[:, k] @ (a if transposed else a.T) + s_u[:, k, None] * b for k in range(4)], 1
        )
        s_m = m(memory)
        s_h = h(x_t @ cell.h_from_x.T + s_h @ cell.h_from_h.T + s_m.reshape(2, 12) @ cell.h_from_m.T)
        expected.append(s_h)
    assert torch.equal(cell(x), torch.stack(expected))
    assert torch.stack(expected).unique().tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("sizes", "classes", "trainable", "total"),
    [
        ({"features": 160, "memories": 250, "order": 4, "window": 7}, 27, 484_875, 484_895),
        ({"features": 120, "memories": 70, "order": 7, "window": 10}, 7, 119_035, 119_091),
    ],
)
def test_the_published_networks_have_their_size(sizes, classes, trainable, total) -> None:
    cell, readout = L2MU(12, **sizes), torch.nn.Linear(sizes["features"], classes)
    # the neuron of the readout has a decay and a threshold of its own
    learned = sum(p.numel() for p in (*cell.parameters(), *readout.parameters())) + 2
    assert learned == trainable
    assert learned + cell.A.numel() + cell.B.numel() == total


def test_only_spikes_are_exchanged() -> None:
    cell = _cell()
    x = torch.randn(10, 2, 3, dtype=torch.float64)
    _, state = cell.scan(x, cell.rest(x))
    # a state whose membranes lie elsewhere on the same side of the threshold sends the same spikes at first
    moved = tuple(v + (0.01 * (v > 0.4) if v.dim() < 3 else 0) for v in state)
    silent = torch.zeros(1, 2, 3, dtype=torch.float64)
    assert not all(torch.equal(p, q) for p, q in zip(state, moved, strict=True))
    fired = [(v > t).double() for v, t in zip(state, cell.thresholds, strict=False)]
    again = [(v > t).double() for v, t in zip(moved, cell.thresholds, strict=False)]
    assert all(torch.equal(p, q) for p, q in zip(fired, again, strict=True))
    _, after = cell.scan(silent, state)
    _, after_moved = cell.scan(silent, moved)
    # the memory population heard the same, and its membranes were not moved
    assert torch.equal(after[1], after_moved[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"memories": 0}, r"L2MU got memories=0; it takes a number at least 1. Change memories"),
        ({"decays": (0.5, 1.2, 0.5)}, r"the decay of m=1.2; it takes a number at least 0 and at most 1"),
        ({"thresholds": (0.5, 0.5, 0.0)}, r"the threshold of h=0.0; it takes a number above 0"),
        ({"current_decay": -0.5}, r"current_decay=-0.5"),
    ],
)
def test_a_wrong_argument_is_refused(arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        L2MU(2, 3, **{"memories": 2, "order": 3, "window": 5.0, **arguments})
