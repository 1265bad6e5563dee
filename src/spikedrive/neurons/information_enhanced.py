"""The information-enhanced integer neuron of QSD-Transformer: an `ILIF` with its published arguments."""

from __future__ import annotations

from spikedrive.neurons.integer import ILIF
from spikedrive.neurons.neuron import check_count


def information_enhanced(levels: int = 4, *, attention: bool = False) -> ILIF:
    """An integer neuron for activations in 0..1, or the one behind an attention product.

    *Equation*: y = floor(clip(D x, 0, D) + 1/2) / D, and with `attention` twice that (a factor 2 / D).
    Its gradient is 1 (2 with attention) where 0 < D x < D: the factors D of the input and 1 / D of the
    output cancel, so the gradient keeps its size whatever D is. Where a binary neuron tells two values of
    a membrane apart, it tells D + 1: up to log2(D + 1) bits of it pass instead of one.

    *Multiplies*: none; D comparisons, and the factor folds into the next weight.
    *Raises*: ConfigError for levels below 1.
    *Source*: QSD-Transformer (ICLR 2025), `Multispike` and `Multispike_att` of its code for D = 4.

    >>> import torch
    >>> information_enhanced()(torch.tensor([0.1, 0.3, 0.9]).view(1, 1, 3)).flatten().tolist()
    [0.0, 0.25, 1.0]
    """
    check_count("information_enhanced", "levels", levels)
    unit = 1 / levels
    return ILIF(levels, unit, rounding="half_up", gate="open", scale=2 * unit if attention else unit)
