"""One leaky neuron over T steps, as each library offers it, behind one signature: x (T, B, ...) -> spikes.

Everywhere tau is 2, so that h = v / 2 + x / 2, the threshold 1, and a spike resets to 0 without a gradient.
The surrogate is SpikingJelly's arctangent with alpha 2 or the rectangle of width 1; where a library has no
such surrogate it uses its own, and `surrogate_of` says which. Only the worker in the peers' environment
builds these: each import stands in the function that needs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.metadata import version

import torch
from torch import Tensor

Scan = Callable[[Tensor], Tensor]

OURS, REFERENCE = "spikedrive", "spikingjelly"
ALPHA, WIDTH = 2.0, 1.0


def spikedrive(surrogate: str) -> Scan:
    from spikedrive.neurons import LIF
    from spikedrive.ops import surrogate as surrogates

    return LIF(surrogate=surrogates.atan(ALPHA) if surrogate == "atan" else surrogates.rectangular(WIDTH))


def spikingjelly(surrogate: str) -> Scan:
    from spikingjelly.activation_based import neuron
    from spikingjelly.activation_based import surrogate as surrogates

    slope = surrogates.ATan(alpha=ALPHA) if surrogate == "atan" else surrogates.Rect(alpha=1 / WIDTH)
    node = neuron.LIFNode(
        tau=2.0, decay_input=True, v_threshold=1.0, v_reset=0.0, surrogate_function=slope,
        detach_reset=True, step_mode="m",
    )  # fmt: skip

    def scan(x: Tensor) -> Tensor:
        node.reset()
        return node(x)

    return scan


def spikingjelly_compiled(surrogate: str) -> Scan:
    return torch.compile(spikingjelly(surrogate), dynamic=False)


def snntorch(surrogate: str) -> Scan:
    import snntorch as snn
    from snntorch import surrogate as surrogates

    def rectangle(u: Tensor, grad: Tensor, _spikes: Tensor) -> Tensor:
        return grad * (u.abs() < WIDTH / 2) / WIDTH

    slope = surrogates.atan(alpha=ALPHA) if surrogate == "atan" else surrogates.custom_surrogate(rectangle)
    cell = snn.Leaky(beta=0.5, threshold=1.0, spike_grad=slope, reset_mechanism="zero")

    def scan(x: Tensor) -> Tensor:
        membrane, spikes = cell.init_leaky(), []
        for x_t in x:
            spike, membrane = cell(0.5 * x_t, membrane)
            spikes.append(spike)
        return torch.stack(spikes)

    return scan


def norse(_surrogate: str) -> Scan:
    import norse.torch as nt

    # in seconds: a step of 1 ms and a time constant of 2 ms
    cell = nt.LIFBoxCell(nt.LIFBoxParameters(tau_mem_inv=torch.tensor(500.0)), dt=0.001)

    def scan(x: Tensor) -> Tensor:
        state, spikes = None, []
        for x_t in x:
            spike, state = cell(x_t, state)
            spikes.append(spike)
        return torch.stack(spikes)

    return scan


def sinabs(surrogate: str) -> Scan:
    import sinabs.activation as activation
    import sinabs.layers as layers

    slope = activation.SingleExponential() if surrogate == "atan" else activation.Heaviside(window=WIDTH / 2)
    layer = layers.LIF(
        tau_mem=1 / math.log(2), norm_input=True, spike_fn=activation.SingleSpike,
        reset_fn=activation.MembraneReset(), surrogate_grad_fn=slope,
    )  # fmt: skip

    def scan(x: Tensor) -> Tensor:
        layer.reset_states()
        # batch before time is how it takes them
        return layer(x.transpose(0, 1)).transpose(0, 1)

    return scan


class Spike(torch.autograd.Function):
    """The step of the plain loop, with either surrogate."""

    @staticmethod
    def forward(ctx, u, surrogate):
        ctx.save_for_backward(u)
        ctx.surrogate = surrogate
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx, grad):
        (u,) = ctx.saved_tensors
        if ctx.surrogate == "atan":
            return grad * (ALPHA / 2 / (1 + (math.pi / 2 * ALPHA * u) ** 2)), None
        return grad * (u.abs() < WIDTH / 2) / WIDTH, None


def loop(surrogate: str) -> Scan:
    def scan(x: Tensor) -> Tensor:
        v, spikes = torch.zeros_like(x[0]), []
        for x_t in x:
            h = v + (x_t - v) / 2
            spike = Spike.apply(h - 1, surrogate)
            v = h * (1 - spike.detach())
            spikes.append(spike)
        return torch.stack(spikes)

    return scan


CONTENDERS: dict[str, Callable[[str], Scan]] = {
    OURS: spikedrive,
    REFERENCE: spikingjelly,
    "spikingjelly compiled": spikingjelly_compiled,
    "snntorch": snntorch,
    "norse": norse,
    "sinabs": sinabs,
    "plain loop": loop,
}


def surrogate_of(contender: str, surrogate: str) -> str:
    """The surrogate that a contender really uses."""
    own = {
        ("norse", "atan"): "superspike",
        ("norse", "rectangular"): "superspike",
        ("sinabs", "atan"): "exponential",
        ("sinabs", "rectangular"): "step",
    }
    return own.get((contender, surrogate), surrogate)


def version_of(contender: str) -> str:
    """The version of the package behind a contender."""
    package = contender.partition(" ")[0]
    return version("torch" if package == "plain" else package)
