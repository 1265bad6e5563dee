"""How good a language model is on text."""

from __future__ import annotations

import torch
from torch import nn

from spikedrive.data.text import TokenSet, check_fingerprint, windows
from spikedrive.errors import ConfigError
from spikedrive.tasks import lm


@torch.no_grad()
def evaluate_text(
    model: nn.Module, tokens: TokenSet, *, context: int, batch_size: int = 32, rank: int = 0, world: int = 1
) -> dict[str, float]:
    """Loss, bits a byte, perplexity and the number of tokens judged, in windows that each start from an empty state.

    The model is left in the mode in which it came. With `world` processes each looks at its share.

    *Units*: loss in nats a token, perplexity a token.
    *Raises*: CheckpointError for tokens of another tokenizer than the one in the model's metadata; ConfigError for
    tokens beyond the model's vocabulary; DataError for a text shorter than one window.
    """
    check_fingerprint(getattr(model, "metadata", {}), tokens)
    vocabulary = getattr(model, "vocabulary", tokens.vocabulary)
    if tokens.vocabulary != vocabulary:
        raise ConfigError(
            f"evaluate_text got tokens of a vocabulary of {tokens.vocabulary} for a model of {vocabulary}; both have "
            "the same. Load the tokens with the model's tokenizer."
        )
    training, device = model.training, next(model.parameters()).device
    model.eval()
    total, count = 0.0, 0
    try:
        for ids, targets in windows(tokens, context=context, batch=batch_size, rank=rank, world=world):
            total += float(lm.loss(model(ids.to(device)), targets.to(device))) * targets.numel()
            count += targets.numel()
    finally:
        model.train(training)
    loss = total / max(1, count)
    return {
        "loss": loss,
        "bits_per_byte": lm.bits_per_byte(loss, tokens.bytes_per_token),
        "perplexity": lm.perplexity(loss),
        "tokens": count,
    }
