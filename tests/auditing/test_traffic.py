"""Bytes of each kind of data, counted by hand, of a model and of its dense twin."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from auditing.nets import FOUR, SPIKES, Fire, Net
from spikedrive.auditing import Audit, audit
from spikedrive.auditing.energy import Traffic
from spikedrive.encoders import Direct
from spikedrive.neurons import ILIF, LIF
from spikedrive.ops.domain import Ternary


def bytes_of(result: Audit, op: str, *, twin: bool = False) -> dict[str, tuple[float, float]]:
    """Bytes read and written by the first row of that operation, by kind of data."""
    row = next(row for row in result.layers if op in row.op)
    moved: Sequence[Traffic] = row.dense_traffic if twin else row.traffic
    assert all(m.memory == "SRAM 8 kB" for m in moved)
    return {m.holds: (m.read, m.written) for m in moved}


def test_a_convolution_of_spikes_reads_a_weight_for_each_addition() -> None:
    x = torch.zeros(2, 2, 4, 4)
    # of two samples the first fires in a corner, which 4 taps reach, and in the middle, which 9 do
    x[0, 0, 0, 0] = x[0, 1, 1, 1] = 1
    net = Net(lambda x, c: c(x), c=nn.Conv2d(2, 3, 3, padding=1))
    result = audit(net, x[:1], data=x, inputs=SPIKES)
    additions, biases = 3 * (4 + 9) / 2, 3 * 16
    assert bytes_of(result, "conv2d") == {
        "weights": (4 * additions, 0),
        "biases": (4 * biases, 0),
        "activations": (2 * 16 / 8, 0),
        "membrane": (4 * (additions + biases), 4 * (additions + biases)),
    }
    macs = 3 * 16 * 2 * 9
    assert bytes_of(result, "conv2d", twin=True) == {
        "weights": (4 * macs, 0),
        "biases": (4 * biases, 0),
        "activations": (4 * macs, 4 * 3 * 16),
    }
    totals = result.totals
    assert totals["bytes_read"] == 4 * (2 * additions + 2 * biases) + 4
    assert totals["bytes_written"] == 4 * (additions + biases)
    assert (totals["dense_bytes_read"], totals["dense_bytes_written"]) == (4 * (2 * macs + biases), 4 * 48)


def test_silence_reads_no_weight() -> None:
    x = torch.zeros(1, 6)
    net = Net(lambda x, fc: fc(x), fc=nn.Linear(6, 5))
    assert bytes_of(audit(net, x, data=x, inputs=SPIKES), "linear") == {
        "biases": (4 * 5, 0), "activations": (6 / 8, 0), "membrane": (4 * 5, 4 * 5),
    }  # fmt: skip


@pytest.mark.parametrize(("domain", "bits"), [(SPIKES[0], 1), (Ternary(), 2), (FOUR[0], 3)], ids=str)
def test_spikes_are_packed(domain: object, bits: int) -> None:
    net = Net(lambda x, fc: fc(x), fc=nn.Linear(8, 5, bias=False))
    result = audit(net, torch.ones(1, 8), data=torch.ones(1, 8), inputs=(domain,))  # type: ignore[arg-type]
    assert bytes_of(result, "linear")["activations"] == (bits, 0)
    assert bytes_of(result, "linear")["weights"] == (4 * 40, 0)


def test_an_integer_is_as_many_reads() -> None:
    net = Net(lambda x, fc: fc(x), fc=nn.Linear(8, 5, bias=False))
    x = torch.full((1, 8), 3.0)
    assert bytes_of(audit(net, x, data=x, inputs=FOUR), "linear")["weights"] == (4 * 3 * 8 * 5, 0)


def test_a_matrix_of_real_numbers_is_read_as_the_twin_does() -> None:
    result = audit(nn.Linear(6, 5), torch.rand(1, 6))
    once = {"weights": (4 * 30, 0), "biases": (4 * 5, 0)}
    assert bytes_of(result, "linear") == {**once, "activations": (4 * 6, 0), "membrane": (0, 4 * 5)}
    assert bytes_of(result, "linear", twin=True) == {**once, "activations": (4 * 6, 4 * 5)}


def test_a_neuron_keeps_its_potential_and_writes_spikes() -> None:
    steps, count = 4, 8
    result = audit(LIF(), torch.rand(steps, 1, count), batch_axis=1)
    potentials = 4.0 * steps * count
    assert bytes_of(result, "lif") == {
        "membrane": (potentials, potentials), "activations": (0, steps * count / 8),
    }  # fmt: skip
    assert bytes_of(result, "lif", twin=True) == {}
    assert result.steps == steps
    assert result.per_step["bytes_read"] == 4 * count
    assert result.per_step["membrane_updates"] == count
    assert (
        "one of 4 steps, on average: 0 additions, 0 multiplications, 32B read, 33B written"
        in result.table_text()
    )


def test_the_twin_sees_a_static_input_once() -> None:
    steps = 4
    net = Net(lambda x, e, fc: fc(e(x)), e=Direct(steps), fc=nn.Linear(6, 5, bias=False))
    result = audit(net, torch.rand(1, 6))
    assert result.steps == steps
    assert bytes_of(result, "linear") == {
        "weights": (steps * 4 * 30, 0), "activations": (steps * 4 * 6, 0), "membrane": (0, steps * 4 * 5),
    }  # fmt: skip
    assert bytes_of(result, "linear", twin=True) == {"weights": (4 * 30, 0), "activations": (4 * 6, 4 * 5)}


def test_steps_are_those_of_the_neurons_where_nothing_else_has_any() -> None:
    net = Net(lambda x, n: n(x.unsqueeze(0).repeat(3, 1, 1)), n=LIF())
    assert audit(net, torch.rand(1, 4)).steps == 3
    assert audit(nn.Linear(2, 2), torch.rand(1, 2)).steps == 1


def test_of_two_maps_the_second_takes_the_weights_place() -> None:
    x = torch.zeros(1, 2, 3, 4)
    x[0, 0, 0, :2], x[0, 1] = 4.0, 1.0
    net = Net(lambda x: x[:, 0] @ x[:, 1].transpose(1, 2))
    result = audit(net, x, data=x, inputs=(ILIF().domain,))
    # 8 units of the rarer factor, 12 integers of 3 bits, meet 3 others of 3 bits; a sum up to 4 * 16 has 7 bits
    assert bytes_of(result, "matmul") == {
        "activations": ((12 + 24) * 3 / 8, 0), "membrane": (24 * 7 / 8, 24 * 7 / 8),
    }  # fmt: skip
    assert bytes_of(result, "matmul", twin=True) == {"activations": (4 * (12 + 36), 4 * 9)}


def test_a_shortcut_reads_both_and_writes_their_sum() -> None:
    net = Net(lambda x, a, b: a(x) + b(x), a=nn.Linear(6, 5), b=nn.Linear(6, 5))
    assert bytes_of(audit(net, torch.rand(1, 6), inputs=SPIKES), "add") == {"membrane": (4 * 10, 4 * 5)}


def test_a_pool_of_spikes_adds_each_to_its_sum() -> None:
    result = audit(Net(lambda x: nn.functional.avg_pool2d(x, 2)), torch.ones(1, 2, 4, 4), inputs=SPIKES)
    # 32 spikes in bits; 32 additions to sums of 0 to 4, 3 bits
    assert bytes_of(result, "avg_pool") == {"activations": (4, 0), "membrane": (12, 12)}


def test_a_look_up_reads_its_rows() -> None:
    result = audit(nn.Embedding(1000, 4), torch.zeros(1, 3, dtype=torch.int64))
    row = next(row for row in result.layers if "embedding" in row.op)
    assert {m.holds: (m.read, m.written) for m in row.traffic} == {
        "weights": (4 * 12, 0), "activations": (4 * 3, 4 * 12),
    }  # fmt: skip


def test_views_and_folded_constants_move_nothing() -> None:
    def folded(x: torch.Tensor, c: nn.Module, b: nn.Module, n: nn.Module) -> torch.Tensor:
        return n(b(c(x)).flatten(1).unflatten(1, (3, 16)))

    net = Net(folded, c=nn.Conv2d(2, 3, 1, bias=False), b=nn.BatchNorm2d(3), n=Fire())
    nn.init.constant_(net.get_submodule("parts.b").bias, 0.5)  # type: ignore[arg-type]
    result = audit(net, torch.rand(1, 2, 4, 4), inputs=SPIKES)
    assert {row.op for row in result.layers if row.traffic} == {
        "aten.conv2d.default",
        "spikedrive.lif_scan.default",
    }
    # the shift of the BatchNorm is the convolution's bias
    assert bytes_of(result, "conv2d")["biases"] == (4 * 48, 0)
    assert bytes_of(result, "conv2d", twin=True)["biases"] == (4 * 48, 0)


def test_large_weights_come_from_dram() -> None:
    net = Net(lambda x, fc: fc(x), fc=nn.Linear(600, 600, bias=False))
    row = audit(net, torch.ones(1, 600), data=torch.ones(1, 600), inputs=SPIKES).layers[0]
    found = {m.memory: m.read for m in row.traffic if m.holds == "weights"}
    # 1.44 MB, brought once and read once
    assert found == {"SRAM 1 MB": 4 * 360_000, "DRAM": 4 * 360_000}
