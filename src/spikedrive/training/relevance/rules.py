"""How relevance passes one operation, from its output back to its input.

*Source*: EventRPG (ICLR 2024), as its released code has it, but for what `propagate_relevance` says.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from spikedrive.errors import ConfigError
from spikedrive.neurons import IF, LIF, PLIF, Neuron

Layer = Callable[[Tensor, Tensor], Tensor]
"""A layer without its bias, of an input and a weight."""


def layer_relevance(
    layer: Layer, x: Tensor, weight: Tensor, relevance: Tensor, *, alpha: float = 1.0
) -> Tensor:
    """What each input of a layer had to do with its outputs.

    *Equation*: with + and - for the parts of either sign, S = R / Z and 0 where Z = 0,

        excited    Z = W+ x+ + W- x-,   x+ (W+^T S) + x- (W-^T S)
        inhibited  Z = W- x+ + W+ x-,   x+ (W-^T S) + x- (W+^T S)
        R_in = alpha excited - (alpha - 1) inhibited

    Relevance is conserved for alpha = 1, but for that of outputs with Z = 0.
    *Shapes*: relevance as the layer's output -> as x.
    *Raises*: ConfigError for alpha below 1.
    """
    if alpha < 1:
        raise ConfigError(f"layer_relevance got alpha={alpha}; it takes a number of at least 1. Use 1.")
    plus, minus = weight.clamp(min=0), weight.clamp(max=0)
    excited = _shared(layer, x, plus, minus, relevance)
    return (
        excited if alpha == 1 else alpha * excited - (alpha - 1) * _shared(layer, x, minus, plus, relevance)
    )


def conserved(operation: Callable[[Tensor], Tensor], x: Tensor, relevance: Tensor) -> Tensor:
    """What passes a pool or a mean: each input gets its share of the output that it is part of.

    *Equation*: x times the gradient of Z = operation(x), given R / Z, and 0 where Z = 0.
    """
    with torch.enable_grad():
        given = x.detach().requires_grad_()
        z = operation(given)
        (pulled,) = torch.autograd.grad(z, given, _ratio(relevance, z.detach()))
    return x * pulled


def share_of_held(neuron: Neuron, x: Tensor, before: Tensor) -> Tensor:
    """How much of each step's charge the membrane held already, 0 where there is no charge.

    *Equation*: d v / (d v + q x), q = 1 - d for a decayed input and 1 otherwise; d = 1 and q = 1 for IF.
    *Shapes*: x and the membranes in front of each step (T, B, ...) -> (T, B, ...).
    *Raises*: ConfigError for neurons other than IF, LIF and PLIF.
    """
    if isinstance(neuron, IF):
        decay, given = 1.0, 1.0
    elif isinstance(neuron, LIF | PLIF):
        decay = neuron.decay if isinstance(neuron, LIF) else 1 - float(neuron.w.detach().sigmoid())
        given = 1 - decay if neuron.decay_input else 1.0
    else:
        raise ConfigError(
            f"Relevance over time came to a {type(neuron).__name__}; it takes IF, LIF and PLIF, whose charge is a sum "
            "of input and membrane. Use method='slrp', which passes any neuron."
        )
    return _ratio(decay * before, decay * before + given * x)


def _shared(layer: Layer, x: Tensor, for_plus: Tensor, for_minus: Tensor, relevance: Tensor) -> Tensor:
    with torch.enable_grad():
        plus, minus = (part.detach().requires_grad_() for part in (x.clamp(min=0), x.clamp(max=0)))
        z = layer(plus, for_plus) + layer(minus, for_minus)
        pulled = torch.autograd.grad(z, (plus, minus), _ratio(relevance, z.detach()))
    return (plus * pulled[0] + minus * pulled[1]).detach()


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    return torch.where(b != 0, a / torch.where(b != 0, b, 1), 0)
