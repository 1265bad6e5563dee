"""Training for early answers: what a layer holds in its first steps is to point where it points in its last ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from spikedrive.blocks import MeanOverTime
from spikedrive.errors import ConfigError, ShapeError
from spikedrive.neurons import Neuron

LAST = 0.3
"""The share of the steps that counts as the end."""
SMALL = 1e-5


def drift(spikes: Tensor, membranes: Tensor) -> Tensor:
    """How far the rates of one layer turn between the steps and the last of them, at least about 1.

    *Equation*: r_t = s_t + relu(v_t), v the membranes after the reset; r the mean of r_t over the last 30 % of the
    steps, a constant; 1 / (mean over t of cos(r_t, r) + 1e-5), the cosine over everything of one sample.
    *Shapes*: spikes and membranes (T, B, ...) -> (B,).
    *Source*: AOI-SNN's regulariser RCS-SNN, as the code of SNNcutoff has it.
    """
    rates = (spikes + membranes.relu()).flatten(2)
    end = rates[-_last(len(rates)) :].mean(0).detach()
    cosine = (rates * end).sum(2) / (_length(rates) * _length(end))
    return 1 / (cosine.mean(0) + SMALL)


def spread(potentials: Tensor) -> Tensor:
    """How far the largest activation of a layer lies above the size of each sample's, for networks to be converted.

    *Equation*: max over the batch of relu(x) / sqrt(mean over a sample of relu(x)^2 + 1e-5).
    *Shapes*: potentials (B, ...) -> (B,).
    *Source*: AOI-SNN's regulariser RCS-ANN, as the code of SNNcutoff has it.
    """
    rectified = potentials.relu()
    return rectified.max() / (rectified.flatten(1).square().mean(1) + SMALL).sqrt()


def anytime_loss(drifts: Sequence[Tensor], outputs: Tensor, labels: Tensor) -> Tensor:
    """The largest drift of the layers, for samples that are right to the end; nothing for the others.

    *Equation*: mean over the batch of max over layers of drift, times whether the sample is right at each of the last
    30 % of the steps.
    *Shapes*: drifts (B,) a layer, outputs (T, B, K) of the single steps, labels (B,) or shares (B, K) -> ().
    *Raises*: ShapeError for no layer, or outputs without steps.
    """
    if not drifts or outputs.dim() != 3:
        raise ShapeError(
            f"anytime_loss got {len(drifts)} layers and outputs of shape {tuple(outputs.shape)}; it takes at least one "
            "layer and (T, B, K). Record a model with neurons, and its outputs of single steps."
        )
    labels = labels if labels.dim() == 1 else labels.argmax(1)
    right = (outputs[-_last(len(outputs)) :].argmax(-1) == labels).all(0)
    return (torch.stack(tuple(drifts)) * right).amax(0).mean()


@dataclass
class Recorded:
    """The drift of each neuron layer, and the outputs of the single steps in front of the readout."""

    drifts: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)

    def loss(self, labels: Tensor) -> Tensor:
        """`anytime_loss` of what was recorded.

        *Raises*: ConfigError where the model has no readout that averages over the steps.
        """
        if not self.outputs:
            raise ConfigError(
                "The anytime regulariser found no MeanOverTime, and so no outputs of single steps; it takes a model "
                "whose readout averages them. Leave it out for this model."
            )
        return anytime_loss(self.drifts, self.outputs[0], labels)


@contextmanager
def record_drift(model: nn.Module) -> Iterator[Recorded]:
    """The drift of every neuron's layer while the block runs; each neuron's steps are computed a second time.

    *Raises*: ConfigError for a model of one step, or a neuron whose state is not its membrane.
    """
    found = Recorded()

    def record(neuron: nn.Module, given: tuple[Tensor], spikes: Tensor) -> None:
        assert isinstance(neuron, Neuron)
        _check_steps(given[0])
        found.drifts.append(drift(spikes, membranes_of(neuron, given[0])))

    def outputs(_readout: nn.Module, given: tuple[Tensor]) -> None:
        found.outputs.append(given[0])

    hooks = [m.register_forward_hook(record) for m in model.modules() if isinstance(m, Neuron)]
    hooks += [m.register_forward_pre_hook(outputs) for m in model.modules() if isinstance(m, MeanOverTime)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def membranes_of(neuron: Neuron, x: Tensor) -> Tensor:
    """What is left in a neuron after each step's reset, (T, B, ...).

    *Raises*: ConfigError where its state is not one membrane a neuron.
    """
    state, kept = neuron.rest(x), []
    for step in x.split(1):
        _, state = neuron.scan(step, state)
        if not isinstance(state, Tensor) or state.shape != x.shape[1:]:
            raise ConfigError(
                f"The membranes were asked of a {type(neuron).__name__}, whose state is not one membrane a neuron; "
                "that takes neurons with such a state. Use LIF, PLIF or IF."
            )
        kept.append(state)
    return torch.stack(kept)


def _check_steps(x: Tensor) -> None:
    if len(x) == 1:
        raise ConfigError(
            "The anytime regulariser got a model of one step; it compares early steps with late ones. Train with "
            "model_args.steps=4 or more and a neuron that keeps its membrane, such as LIF."
        )


def _length(rates: Tensor) -> Tensor:
    return (rates.square().sum(-1) + SMALL).sqrt()


def _last(steps: int) -> int:
    return max(1, math.floor(steps * LAST))
