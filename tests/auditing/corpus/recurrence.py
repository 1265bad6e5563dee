"""Loops over time, written by hand and taken from PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auditing.nets import FOUR, SPIKES, Case, Fire, Net, costs, linear, neuron_cost, together
from spikedrive.neurons import IF, LIF, PLIF

# three steps of four spikes meet five weights each
STEPS = (3, 4)
IN = costs(additions=3 * 20, dense_macs=3 * 20)


def elman(x: Tensor, a: nn.Module, b: nn.Module, fire: object) -> Tensor:
    """h <- fire(a x + b h), from h = 0."""
    h = torch.zeros(x.shape[0], 5)
    for t in range(3):
        h = fire(a(x[:, t]) + b(h))  # type: ignore[operator]
    return h


def spiking_loop(x: Tensor, fc: nn.Module, keep: float, soft: bool) -> Tensor:
    """A leaky neuron written out: v <- keep v + I, s = (v > 1), and a reset."""
    v, out = torch.zeros(x.shape[0], 5), []
    for t in range(3):
        v = keep * v + fc(x[:, t])
        s = (v > 1).float()
        v = v - s if soft else v * (1 - s)
        out.append(s)
    return torch.stack(out, 1)


def gru(x: Tensor, z: nn.Module, n: nn.Module) -> Tensor:
    """h <- h + z (n - h), with a gate of a sigmoid."""
    h = torch.zeros(x.shape[0], 5)
    for t in range(3):
        h = h + torch.sigmoid(z(x[:, t])) * (torch.tanh(n(x[:, t])) - h)
    return h


def minimal_gated(x: Tensor, z: nn.Module, n: nn.Module, fire: nn.Module) -> Tensor:
    """The same with a spike as the gate."""
    h = torch.zeros(x.shape[0], 5)
    for t in range(3):
        h = torch.where(fire(z(x[:, t])) > 0, n(x[:, t]), h)
    return h


def counter(x: Tensor) -> Tensor:
    """How often each has fired so far."""
    n = torch.zeros_like(x[:, 0])
    for t in range(3):
        n = n + x[:, t]
    return n


def adaptive(x: Tensor, fc: nn.Module) -> Tensor:
    """A threshold that every spike raises, and that forgets by halves."""
    v, theta, out = torch.zeros(x.shape[0], 5), torch.ones(x.shape[0], 5), []
    for t in range(3):
        v = v + fc(x[:, t])
        s = (v > theta).float()
        v, theta = v - s, theta / 2 + s
        out.append(s)
    return torch.stack(out, 1)


def membrane(x: Tensor, fc: nn.Module, n: LIF, gain: float) -> Tensor:
    """The last membrane joins what goes on."""
    y = fc(x).relu()
    _, v = n.scan(y * gain, n.rest(y))
    return v + y[-1]


def in_two_calls(x: Tensor, fc: nn.Module, n: LIF, gains: tuple[float, float]) -> Tensor:
    """Two steps, the second from where the first ended."""
    y = fc(x).relu()
    first, v = n.scan(y[:1] * gains[0], n.rest(y))
    return first + n.scan(y[1:2] * gains[1], v)[0]


CASES = [
    Case("an Elman network of spikes", lambda: Net(lambda x, a, b, n: elman(x, a, b, n), a=linear(4, 5),
         b=linear(5, 5), n=Fire()), STEPS, inputs=SPIKES,
         # the first state is nothing, so that its layer is a constant
         counts=together(IN, costs(additions=2 * 25, dense_macs=2 * 25, sums=2 * 5), neuron_cost(15))),
    Case("an Elman network of reals", lambda: Net(lambda x, a, b: elman(x, a, b, torch.tanh), a=linear(4, 5),
         b=linear(5, 5)), STEPS, "hybrid",
         together(IN, costs(multiplications=2 * 25, dense_macs=2 * 25, sums=2 * 5, functions=15)), inputs=SPIKES),
    Case("an Elman network of rectified reals", lambda: Net(lambda x, a, b: elman(x, a, b, torch.relu),
         a=linear(4, 5), b=linear(5, 5)), STEPS, "hybrid",
         together(IN, costs(multiplications=50, dense_macs=50, sums=10, compares=15)), inputs=SPIKES),
    Case("a leaky neuron written out, halving", lambda: Net(lambda x, fc: spiking_loop(x, fc, 0.5, True),
         fc=linear(4, 5)), STEPS, inputs=SPIKES,
         # the second and third step shift and add what is left; only two resets are read again
         counts=together(IN, costs(shifts=10, sums=10 + 10, compares=15))),
    Case("a leaky neuron written out, hard reset", lambda: Net(lambda x, fc: spiking_loop(x, fc, 0.5, False),
         fc=linear(4, 5)), STEPS, inputs=SPIKES, counts=together(IN, costs(shifts=10, sums=10, ands=10, compares=15))),
    Case("a leaky neuron written out, three tenths", lambda: Net(lambda x, fc: spiking_loop(x, fc, 0.3, True),
         fc=linear(4, 5)), STEPS, "hybrid", together(IN, costs(multiplications=10, sums=20, compares=15)),
         inputs=SPIKES),
    Case("a gated recurrent unit written out", lambda: Net(gru, z=linear(4, 5), n=linear(4, 5)), STEPS, "hybrid",
         # a sigmoid's division and a product; tanh less h and the sum, but for the state that is nothing
         together(IN, IN, costs(functions=30, multiplications=15 + 15, sums=15 + 10 + 10)), inputs=SPIKES),
    Case("a unit gated by spikes", lambda: Net(minimal_gated, z=linear(4, 5), n=linear(4, 5), fire=Fire()), STEPS,
         inputs=SPIKES, counts=together(IN, IN, neuron_cost(15), costs(compares=15, ands=15))),
    Case("a counter of spikes meets weights", lambda: Net(lambda x, fc: fc(counter(x)), fc=linear(4, 5)), STEPS,
         inputs=SPIKES, counts=costs(sums=2 * 4, additions=3 * 20, dense_macs=20)),
    Case("a counter of spikes squared", lambda: Net(lambda x: counter(x) ** 2), STEPS, "gated-additive",
         costs(sums=8, multiplications=4), inputs=SPIKES),
    Case("an adaptive threshold", lambda: Net(adaptive, fc=linear(4, 5)), STEPS, inputs=SPIKES,
         # two sums into a membrane and two resets; of the thresholds the first is a constant, the second s + 1/2, the
         # third s/2 + s' + 1/4: a sum of one shifted, and shifted to be compared
         counts=together(IN, costs(compares=15, sums=10 + 10 + 5 + 5 + 5, shifts=5 + 5))),
    Case("an LSTM on spikes", lambda: Net(lambda x, r: r(x)[0], r=nn.LSTM(4, 5, bias=False, batch_first=True)),
         STEPS, "hybrid",
         # four gates of five; the state's weights, three sigmoids' divisions and three products
         costs(additions=3 * 4 * 20, dense_macs=3 * 20 * (4 + 5), multiplications=3 * (20 * 5 + 5 * 6),
         functions=3 * 5 * 5, sums=3 * (5 * 4 + 20)), inputs=SPIKES),
    Case("a GRU on integers", lambda: Net(lambda x, r: r(x)[0], r=nn.GRU(4, 5, bias=False, batch_first=True)),
         STEPS, "hybrid",
         costs(additions=4 * 3 * 4 * 15, dense_macs=3 * 15 * 9, multiplications=3 * (15 * 5 + 5 * 4),
         functions=3 * 5 * 3, sums=3 * (5 * 4 + 15)), inputs=FOUR),
    Case("a rectified RNN on spikes", lambda: Net(lambda x, r: r(x)[0], r=nn.RNN(4, 5, bias=False,
         nonlinearity="relu", batch_first=True)), STEPS, "hybrid",
         costs(additions=60, dense_macs=60 + 75, multiplications=75, sums=15, compares=15), inputs=SPIKES),
    Case("an LSTM cell by hand", lambda: Net(lambda x, r: r(x[:, 0])[0], r=nn.LSTMCell(4, 5, bias=False)), STEPS,
         "hybrid",
         # from a state of nothing, whose layer is a constant; three sigmoids and two tanh, i g and o tanh(c)
         costs(additions=4 * 20, dense_macs=4 * 20, multiplications=3 * 5 + 2 * 5, functions=5 * 5,
         sums=3 * 5 + 5), inputs=SPIKES),
    Case("a scaled membrane that is read", lambda: Net(lambda x, fc, n: membrane(x, fc, n, 0.3), fc=linear(4, 5),
         n=LIF()), STEPS, "hybrid", inputs=SPIKES, batch_axis=1,
         # the threshold takes the constant, but the sum needs it: one for each input of the neuron
         counts=together(IN, costs(compares=15, multiplications=15, sums=5), neuron_cost(5, 3, leak=True))),
    Case("a membrane that is read", lambda: Net(lambda x, fc, n: membrane(x, fc, n, 1.0), fc=linear(4, 5), n=LIF()),
         STEPS, inputs=SPIKES, batch_axis=1,
         counts=together(IN, costs(compares=15, sums=5), neuron_cost(5, 3, leak=True))),
    Case("a membrane of one scale from call to call", lambda: Net(lambda x, fc, n: in_two_calls(x, fc, n, (0.3, 0.3)),
         fc=linear(4, 5), n=LIF()), STEPS, inputs=SPIKES, batch_axis=1,
         counts=together(IN, costs(compares=15, sums=5), neuron_cost(5, 2, leak=True))),
    Case("a membrane of two scales", lambda: Net(lambda x, fc, n: in_two_calls(x, fc, n, (0.3, 0.7)),
         fc=linear(4, 5), n=LIF()), STEPS, "hybrid", inputs=SPIKES, batch_axis=1,
         counts=together(IN, costs(compares=15, multiplications=10, sums=5), neuron_cost(5, 2, leak=True))),
    Case("a layer over all steps, then neurons", lambda: Net(lambda x, fc, n: n(fc(x)), fc=linear(4, 5), n=LIF()),
         STEPS, inputs=SPIKES, batch_axis=1, counts=together(IN, neuron_cost(5, 3, leak=True))),
    Case("a readout of the last step", lambda: Net(lambda x, fc, n: fc(n(x)[-1]), fc=linear(4, 5), n=IF()), STEPS,
         inputs=SPIKES, batch_axis=1, counts=together(costs(additions=20, dense_macs=20), neuron_cost(4, 3))),
    Case("a learned leak that rounds to one", lambda: Net(lambda x, n: n(x), n=PLIF(1e9)), STEPS,
         counts=neuron_cost(4, 3), batch_axis=1),
    Case("a moving average of spikes", lambda: Net(lambda x, fc: fc(x.unfold(1, 2, 1).sum(-1) / 2),
         fc=linear(4, 5)), STEPS, inputs=SPIKES,
         # two windows of two steps; each sum reaches two
         counts=costs(additions=16 + 2 * 2 * 20, dense_macs=2 * 20)),
]  # fmt: skip
