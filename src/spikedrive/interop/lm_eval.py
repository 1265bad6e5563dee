"""Language models as lm-eval-harness asks them: likelihoods of texts, and text until a stop."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spikedrive.blocks.language import LanguageModel
from spikedrive.data.text import Tokenizer, recorded_tokenizer
from spikedrive.errors import ConfigError, MissingExtraError
from spikedrive.state import Stream
from spikedrive.tasks.generate import Sampling, generate

MOST_TOKENS = 256
"""Of generated text where a task does not say how many."""


def as_lm(model: LanguageModel, *, tokenizer: Tokenizer | None = None, batch_size: int = 16) -> Any:
    """The model as an `lm_eval.api.model.LM`: give it to `lm_eval.simple_evaluate(model=...)`.

    The tokenizer is that of the checkpoint that the model came from, or bytes.

    *Raises*: MissingExtraError without the package lm_eval; as `Judge`.
    """
    judge = Judge(model, recorded_tokenizer(model.metadata) if tokenizer is None else tokenizer, batch_size)
    try:
        base = importlib.import_module("lm_eval.api.model").LM
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"as_lm needs the package lm_eval and what it imports, and {error.name} is not installed; nothing else of "
            "spikedrive does. Run pip install lm_eval."
        ) from None

    class SpikedriveLM(base):
        """`Judge` under the names of the harness, whose requests carry their texts in `args`."""

        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            return judge.likelihoods([request.args for request in requests])

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            return [judge.whole(request.args[0]) for request in requests]

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            return [judge.until(*request.args) for request in requests]

    return SpikedriveLM()


@dataclass(frozen=True)
class _Part:
    """Tokens of which the last `scored` are judged, each by those before it; one more than the model reads."""

    tokens: list[int]
    scored: int


class Judge:
    """What a language model and its tokenizer say of texts.

    A text begins behind the token that ends one, as in training. What does not fit into the model's context is cut off
    in front; a model with a recurrent state reads everything.

    *Units*: log-likelihoods in nats.
    *Raises*: ConfigError for a tokenizer of another vocabulary, or without a token that ends a text.
    """

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer, batch_size: int = 16) -> None:
        if tokenizer.vocabulary != model.vocabulary or tokenizer.end is None:
            raise ConfigError(
                f"Judge got the tokenizer {tokenizer.spec} of {tokenizer.vocabulary} tokens, its end of a text "
                f"{tokenizer.end}, for a model of {model.vocabulary}; both have the same number, and texts begin "
                "behind an end. Give the tokenizer that the model learned with."
            )
        self._model, self._tokenizer, self._batch_size = model.eval(), tokenizer, batch_size
        self._end: int = tokenizer.end

    def likelihoods(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """For each (context, continuation) the continuation's log-likelihood, and whether it is the likeliest."""
        return self._judged([self._pair(*pair) for pair in pairs])

    def whole(self, text: str) -> float:
        """The log-likelihood of a whole text, each token by as many before it as the context takes."""
        tokens = [self._end, *self._tokenizer.encode(text).tolist()]
        most = self._model.context or len(tokens)
        parts = []
        for start in range(1, len(tokens), most):
            end = min(start + most, len(tokens))
            # the last window is moved back, so that its tokens see as many as the others
            parts.append(_Part(tokens[max(0, end - most - 1) : end], end - start))
        return sum(score for score, _ in self._judged(parts))

    def until(self, context: str, settings: Mapping[str, Any]) -> str:
        """Text behind the context up to the first of `until`, the end of a text, or `max_gen_toks` tokens.

        It is the likeliest at each token, or drawn at `temperature` with `do_sample`.
        """
        stops = settings.get("until") or []
        stops = [stops] if isinstance(stops, str) else list(stops)
        most = int(settings.get("max_gen_toks", MOST_TOKENS))
        drawn = settings.get("do_sample", False)
        sampling = Sampling(temperature=float(settings.get("temperature", 1.0)) if drawn else 0.0)
        prompt = [self._end, *self._tokenizer.encode(context).tolist()]
        if self._model.context is not None:
            most = min(most, self._model.context - 1)
            prompt = prompt[-(self._model.context - most) :]
        more, text = self._tokenizer.stream(), ""
        for token in generate(self._step(), prompt, tokens=most, sampling=sampling):
            if token == self._end:
                break
            text += more(token)
            if any(stop in text for stop in stops):
                break
        text += more.end()
        return text[: min((text.find(stop) for stop in stops if stop in text), default=len(text))]

    def _pair(self, context: str, continuation: str) -> _Part:
        # a blank belongs to the word behind it, as tokenizers have it
        kept = context.rstrip()
        context, continuation = kept, context[len(kept) :] + continuation
        before = self._tokenizer.encode(context).tolist()
        tokens = [self._end, *self._tokenizer.encode(context + continuation).tolist()]
        scored = len(tokens) - 1 - len(before)
        if self._model.context is not None:
            tokens = tokens[-(self._model.context + 1) :]
        return _Part(tokens, min(scored, len(tokens) - 1))

    @torch.inference_mode()
    def _judged(self, parts: Sequence[_Part]) -> list[tuple[float, bool]]:
        found = []
        for batch in _batches(parts, self._batch_size):
            longest = max(len(part.tokens) for part in batch)
            # behind a text anything may stand: no token sees those after it
            ids = torch.tensor([part.tokens + [0] * (longest - len(part.tokens)) for part in batch]).T
            logs = self._model(ids[:-1]).double().log_softmax(-1)
            for place, part in enumerate(batch):
                end, start = len(part.tokens) - 1, len(part.tokens) - 1 - part.scored
                rows, wanted = logs[start:end, place], ids[start + 1 : end + 1, place]
                score = float(rows.gather(-1, wanted[:, None]).sum())
                found.append((score, bool((rows.argmax(-1) == wanted).all())))
        return found

    def _step(self) -> Callable[[Sequence[int]], Tensor]:
        stream = Stream(self._model, along="tokens")

        @torch.inference_mode()
        def step(ids: Sequence[int]) -> Tensor:
            return stream(torch.tensor(list(ids))[:, None])[-1, 0]

        return step


def _batches(parts: Sequence[_Part], size: int) -> Iterator[Sequence[_Part]]:
    for start in range(0, len(parts), size):
        yield parts[start : start + size]
