"""Fine-grained distillation: a student's queries, keys and values learn the patterns of a teacher's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from spikedrive.blocks import SpikeAttention
from spikedrive.errors import ShapeError


def similarity_distillation(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """How far the similarity patterns of a student's features lie from those of a teacher's.

    *Equation*, for each pair of features F (L tokens, d channels) of one sample:

        G(F) = F F^T / ||F F^T||        (L, L), the norm is Frobenius'
        loss = sum over pairs of the mean over samples of ||G(student) - G(teacher)||

    A pattern says which tokens resemble each other; it knows no width and no scale, so that integers of a quantised
    spiking network and real values of an ANN compare. The teacher's is a constant. Silent features have the pattern 0.

    *Shapes*: features (B, L, d), d may differ within a pair -> ().
    *Units*: between 0 and 2 a pair.
    *Raises*: ShapeError for lists of another length, or a pair with other samples or tokens.
    *Source*: the aim is QSD-Transformer's fine-grained distillation (arXiv 2501.13492), whose code is not released;
    the patterns are ours, after those of Q-ViT (arXiv 2210.06707), which takes them head by head.

    >>> q = torch.randn(2, 5, 8)
    >>> round(similarity_distillation([q], [3 * q]).item(), 4)
    0.0
    """
    if len(student) != len(teacher) or not student:
        raise ShapeError(
            f"similarity_distillation got {len(student)} features of the student and {len(teacher)} of the teacher; it "
            "takes as many of both, at least one. Choose a layer of the teacher for each of the student's."
        )
    losses = []
    for i, (mine, its) in enumerate(zip(student, teacher, strict=True)):
        if mine.dim() != 3 or its.dim() != 3 or mine.shape[:2] != its.shape[:2]:
            raise ShapeError(
                f"similarity_distillation got features {i} of shapes {tuple(mine.shape)} and {tuple(its.shape)}; it "
                "takes (B, L, d) with the same samples and tokens. Pool the finer map to the other's resolution."
            )
        difference = _pattern(mine) - _pattern(its.detach())
        losses.append(torch.linalg.matrix_norm(difference).mean())
    return torch.stack(losses).sum()


@contextmanager
def record_attention(model: nn.Module) -> Iterator[list[Tensor]]:
    """What leaves the neurons of every query, key and value while the block runs, as features (B, L, C).

    Integers are averaged over T. They come in the order of execution: q, k and v of each attention.

    *Shapes*: q, k, v (T, B, C, H, W) -> (B, H W, C).
    """
    features: list[Tensor] = []
    attentions = [module for module in model.modules() if isinstance(module, SpikeAttention)]
    hooks = [
        neuron.register_forward_hook(lambda _m, _i, y: features.append(y.mean(0).flatten(2).transpose(1, 2)))
        for attention in attentions
        for neuron in (attention.q_neuron, attention.k_neuron, attention.v_neuron)
    ]
    try:
        yield features
    finally:
        for hook in hooks:
            hook.remove()


def _pattern(features: Tensor) -> Tensor:
    similarity = features @ features.transpose(1, 2)
    # an epsilon inside of the root: the gradient of a norm at 0 is none
    return similarity / (similarity.square().sum((1, 2), keepdim=True) + 1e-12).sqrt()
