"""Language modelling: cross-entropy of the next token, bits a byte, perplexity."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from spikedrive.errors import ShapeError


def loss(logits: Tensor, targets: Tensor, *, wrap: float = 0.0) -> Tensor:
    """The mean cross-entropy of the next tokens, in nats a token.

    With `wrap` the largest logit of each token is drawn to zero: its gradient gets wrap / (L B) times itself, and the
    value stays as it is (RWKV's and SpikeGPT's L2Wrap, 1e-4 there).

    *Shapes*: logits (L, B, V), targets (L, B).
    *Raises*: ShapeError where the two do not fit.
    """
    if logits.shape[:-1] != targets.shape:
        raise ShapeError(
            f"lm.loss got logits of shape {tuple(logits.shape)} for targets {tuple(targets.shape)}; it takes (L, B, V) "
            "and (L, B). Shift the ids by one for targets: ids[:-1] in, ids[1:] out."
        )
    value = F.cross_entropy(logits.flatten(0, -2).float() if logits.element_size() < 4 else logits.flatten(0, -2),
                            targets.flatten())  # fmt: skip
    if wrap:
        pull = 0.5 * wrap * logits.amax(-1).square().mean()
        value = value + (pull - pull.detach())
    return value


def bits_per_byte(nats: float, bytes_per_token: float = 1.0) -> float:
    """Nats a token as bits a byte of UTF-8, which does not depend on the tokenizer.

    >>> round(bits_per_byte(math.log(2)), 9), round(bits_per_byte(math.log(16), 4.0), 9)
    (1.0, 1.0)
    """
    return nats / math.log(2) / bytes_per_token


def perplexity(nats: float) -> float:
    """exp of nats a token; infinite where that leaves the floating-point numbers.

    >>> perplexity(0.0)
    1.0
    """
    return math.exp(nats) if nats < 700 else math.inf
