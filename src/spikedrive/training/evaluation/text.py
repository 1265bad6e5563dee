"""How good a language model is on text, and a classifier on texts with labels."""

from __future__ import annotations

import torch
from torch import nn

from spikedrive.data.text import EncodedTexts, TokenSet, check_fingerprint, windows
from spikedrive.errors import ConfigError
from spikedrive.tasks import classify, lm


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


@torch.no_grad()
def evaluate_labelled(
    model: nn.Module, texts: EncodedTexts, *, batch_size: int = 32, rank: int = 0, world: int = 1
) -> dict[str, float]:
    """Loss, accuracy (0 to 1) and the number of labelled texts judged, in eval mode.

    The model is left in the mode in which it came. With `world` processes each looks at its share.

    *Units*: loss in nats a text.
    *Raises*: ConfigError for texts of more classes than the model has logits.
    """
    classes = getattr(model, "classes", len(texts.class_names))
    if len(texts.class_names) > classes:
        raise ConfigError(
            f"evaluate_labelled got texts of {len(texts.class_names)} classes for a model with {classes} logits; it "
            "takes at most as many. Evaluate on the data that the model was trained for."
        )
    training, device = model.training, next(model.parameters()).device
    model.eval()
    total, right, count = 0.0, 0, 0
    try:
        for ids, labels in texts.batches(batch_size, rank, world):
            answer, wanted = model(ids.to(device)), labels.to(device)
            total += float(classify.loss(answer, wanted)) * len(labels)
            right += int(classify.correct(answer, wanted))
            count += len(labels)
    finally:
        model.train(training)
    return {"loss": total / max(1, count), "accuracy": right / max(1, count), "texts": count}
