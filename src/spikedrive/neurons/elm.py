"""The expressive leaky memory neuron: one cell with many slow memories, like a cortical neuron."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from spikedrive.errors import ConfigError
from spikedrive.neurons._registry import register_cell
from spikedrive.neurons.neuron import Neuron, check_count, check_number
from spikedrive.ops import checks, equation

Version = Literal[1, 2]


@register_cell
class ELM(Neuron):
    """Leaky branches, an MLP that integrates them, and leaky memories of many time constants.

    *Equation*, with kappa = exp(-1 / tau) for each time constant tau, synaptic weights w = max(proto, 0):

        branch  s = kappa_s s + w x for each synapse, b = sum over a branch     (version 1)
                b = kappa_b b + sum over a branch of w x                        (version 2)
        drive   d = 1.7159 tanh(2/3 MLP([b, kappa_m m])), MLP = linear, ReLU, linear
        memory  m = kappa_m m + lambda (1 - kappa_m) d                          (version 1)
                m = kappa_m m + (1 - exp(-lambda / tau_m)) d                    (version 2)
        output  y = W m + bias

    *Shapes*: x (T, B, ..., inputs) -> (T, B, ..., outputs); the state is (traces, memories).
    *Units*: time constants in steps, spread evenly on a logarithmic scale over `memory_tau`.
    *Multiplies*: the leaks, the MLP and its tanh, the output: it emits real numbers, and the audit names
    each of these. The input may be spikes, which then select synaptic weights.
    *Raises*: ConfigError for a size below 1, a time constant of zero or less, or a routing that does not
    fit; ShapeError for an input of another width.
    *Source*: the ELM neuron (arXiv 2306.16922) and its code, versions 1 and 2. `routing` names the input of
    each synapse, -1 for none; without it every input has a branch of its own.

    >>> ELM(3, 2, memories=4)(torch.zeros(5, 1, 3)).shape
    torch.Size([5, 1, 2])
    """

    routing: Tensor | None
    branch_tau: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        memories: int = 20,
        branches: int | None = None,
        routing: Int[Tensor, "S"] | None = None,
        version: Version = 2,
        mlp_hidden: int | None = None,
        memory_tau: tuple[float, float] = (1.0, 1000.0),
        branch_tau: float = 5.0,
        gain: float = 5.0,
        learn_memory_tau: bool = False,
    ) -> None:
        super().__init__()
        for name, size in (("inputs", inputs), ("outputs", outputs), ("memories", memories)):
            check_count("ELM", name, size)
        check_number("ELM", "memory_tau[0]", memory_tau[0], above=0)
        check_number("ELM", "memory_tau[1]", memory_tau[1], above=memory_tau[0])
        check_number("ELM", "branch_tau", branch_tau, above=0)
        check_number("ELM", "gain", gain, above=0)
        if version not in (1, 2):
            raise ConfigError(f"ELM got version={version}; it takes 1 or 2. Take 2, the later one.")
        branches = inputs if branches is None else branches
        synapses = inputs if routing is None else len(routing)
        check_count("ELM", "branches", branches)
        if synapses % branches or (
            routing is not None and not -1 <= int(routing.min()) <= int(routing.max()) < inputs
        ):
            raise ConfigError(
                f"ELM got {synapses} synapses for {branches} branches of {inputs} inputs; it takes the same number of "
                "synapses on every branch, each with an input from 0 on or -1. Change routing or branches."
            )
        self.inputs, self.outputs, self.branches, self.version = inputs, outputs, branches, version
        self.gain, self.memory_tau = float(gain), memory_tau
        self.register_buffer("routing", routing)
        self.synapse_weight = nn.Parameter(torch.full((synapses,), 0.5))
        traces = synapses if version == 1 else branches
        self.register_buffer("branch_tau", torch.full((traces,), float(branch_tau)))
        low, high = memory_tau
        tau = torch.logspace(0, 1, memories, base=high / low, dtype=torch.float64) * low
        raw = ((tau - low) / (high - low)).clamp(1e-7, 1 - 1e-7).logit().float()
        self.memory_tau_raw = nn.Parameter(raw, requires_grad=learn_memory_tau)
        hidden = 2 * memories if mlp_hidden is None else mlp_hidden
        self.mlp_in, self.mlp_out = nn.Linear(branches + memories, hidden), nn.Linear(hidden, memories)
        self.readout = nn.Linear(memories, outputs)

    @property
    def domain(self) -> None:
        """Real numbers."""
        return

    def memory_time_constants(self) -> Float[Tensor, "M"]:
        """The time constant of each memory, in steps."""
        low, high = self.memory_tau
        return low + self.memory_tau_raw.sigmoid() * (high - low)

    def rest(self, x: Float[Tensor, "T B *S"]) -> tuple[Tensor, Tensor]:
        """Empty traces and memories."""
        between = x.shape[1:-1]
        return (
            x.new_zeros(*between, self.branch_tau.shape[0]),
            x.new_zeros(*between, self.memory_tau_raw.shape[0]),
        )

    def scan(
        self, x: Float[Tensor, "T B *S"], state: tuple[Tensor, Tensor]
    ) -> tuple[Float[Tensor, "T B *S2"], tuple[Tensor, Tensor]]:
        """The readout of the memories, and the traces and memories after the last step."""
        checks.cell_input("ELM", x, self.inputs)
        routed = x if self.routing is None else _routed(x, self.routing)
        tau = self.memory_time_constants()
        keep = (-1 / tau).exp()
        take = self.gain * (1 - keep) if self.version == 1 else 1 - (-self.gain / tau).exp()
        y, traces, memories = elm_scan(
            routed, *state, self.synapse_weight.relu(), (-1 / self.branch_tau).exp(), keep, take,
            self.mlp_in.weight, self.mlp_in.bias, self.mlp_out.weight, self.mlp_out.bias,
            self.readout.weight, self.readout.bias, self.branches,
        )  # fmt: skip
        return y, (traces, memories)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return (
            f"inputs={self.inputs}, outputs={self.outputs}, branches={self.branches}, version={self.version}"
        )


def _equation(
    x: Tensor,
    traces: Tensor,
    memories: Tensor,
    synapse_weight: Tensor,
    branch_keep: Tensor,
    keep: Tensor,
    take: Tensor,
    in_weight: Tensor,
    in_bias: Tensor,
    out_weight: Tensor,
    out_bias: Tensor,
    readout_weight: Tensor,
    readout_bias: Tensor,
    branches: int,
) -> tuple[Tensor, Tensor, Tensor]:
    linear = torch.nn.functional.linear
    each_synapse = branch_keep.shape[0] == synapse_weight.shape[0]
    currents = x * synapse_weight
    if not each_synapse:
        currents = _per_branch(currents, branches)
    states = []
    for current in currents.unbind(0):
        traces = branch_keep * traces + current
        b = _per_branch(traces, branches) if each_synapse else traces
        kept = keep * memories
        hidden = linear(torch.cat([b, kept], -1), in_weight, in_bias).relu()
        drive = 1.7159 * (2 / 3 * linear(hidden, out_weight, out_bias)).tanh()
        memories = kept + take * drive
        states.append(memories)
    return linear(torch.stack(states), readout_weight, readout_bias), traces, memories


def _routed(x: Tensor, routing: Tensor) -> Tensor:
    return x.index_select(-1, routing.clamp(min=0)) * (routing >= 0)


def _per_branch(x: Tensor, branches: int) -> Tensor:
    return x if x.shape[-1] == branches else x.unflatten(-1, (branches, -1)).sum(-1)


elm_scan = equation.define(
    "elm_scan",
    "(Tensor x, Tensor traces, Tensor memories, Tensor synapse_weight, Tensor branch_keep, Tensor keep, Tensor take, "
    "Tensor in_weight, Tensor in_bias, Tensor out_weight, Tensor out_bias, Tensor readout_weight, "
    "Tensor readout_bias, int branches) -> (Tensor, Tensor, Tensor)",
    _equation,
    domain=lambda _: None,
)
