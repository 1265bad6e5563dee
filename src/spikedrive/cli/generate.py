"""`spikedrive generate`: a language model's text, token by token."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikedrive.cli.output import JsonFlag, emit, note, shown
from spikedrive.errors import DataError

if TYPE_CHECKING:
    from spikedrive.blocks.language import LanguageModel


def verb(
    model: Annotated[
        str,
        typer.Argument(metavar="RUN|CHECKPOINT|MODEL", help="A trained language model, or an untrained one."),
    ],
    prompt: Annotated[str, typer.Option(help="The text that is continued.")],
    tokens: Annotated[int, typer.Option(min=1, help="How many tokens follow.")] = 200,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token each time.")] = 0.8,
    top_k: Annotated[int, typer.Option(help="Draw from this many of the likeliest; 0 from all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Draw from the likeliest that make up this share.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    engine: Annotated[bool, typer.Option("--engine", help="Run the compiled integer program.")] = False,
    tokenizer: Annotated[
        str | None, typer.Option(help="'bytes' or a tokenizer.json, in place of the checkpoint's own copy.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Continue a text.

    Tokens are printed as they come; tokens/s, firing rate and picojoules a token stand on stderr.
    """
    from spikedrive.cli.activity import EnergyMeter
    from spikedrive.cli.language import load_language_model, open_tokenizer_of
    from spikedrive.tasks.generate import Sampling, check_prompt, generate

    sampling = Sampling(temperature, top_k, top_p, seed)
    loaded = load_language_model(model)
    words = open_tokenizer_of(loaded, tokenizer)
    given = words.encode(prompt).tolist()
    check_prompt(given)
    if loaded.context is not None and len(given) + tokens > loaded.context:
        raise DataError(
            f"{len(given)} tokens of prompt and {tokens} more are beyond the context of {loaded.context}; both "
            f"together fit into it. Set --tokens {max(1, loaded.context - len(given))} or less, or shorten the prompt."
        )
    meter = EnergyMeter(loaded, given)
    step = engine_step(loaded) if engine else model_step(loaded, meter)
    more, text, started = words.stream(), "", time.perf_counter()
    drawn: list[int] = []

    def give(piece: str) -> None:
        nonlocal text
        text += piece
        if not as_json:
            typer.echo(shown(piece), nl=False)

    for token in generate(step, given, tokens=tokens, sampling=sampling):
        drawn.append(token)
        give(more(token))
    rate = len(drawn) / (time.perf_counter() - started)
    give(more.end())
    if not as_json:
        typer.echo()
        note(_line(meter, rate))
    answer: dict[str, Any] = {
        "model": model, "engine": engine, "prompt": prompt, "text": text, "tokens": drawn, "tokens_per_s": rate,
        "firing_rate": meter.firing_rate, "picojoules_per_token": 1e12 * meter.joules,
    }  # fmt: skip
    if as_json:
        emit(answer, "", True)


def model_step(model: LanguageModel, meter: Any) -> Any:
    """A step of the model in PyTorch, watched by `meter`."""
    import torch

    from spikedrive.state import Stream

    stream = Stream(model, along="tokens")

    def step(ids: Any) -> Any:
        with torch.inference_mode(), meter.watching(len(ids)):
            return stream(torch.tensor(ids)[:, None])[-1, 0]

    return step


def engine_step(model: LanguageModel) -> Any:
    """A step of the model's integer program.

    *Raises*: LoweringError for a model that multiplies.
    """
    import numpy as np
    import torch

    from spikedrive.engine import compile

    stream = compile(model, torch.zeros(1, 1, dtype=torch.int64)).stream()

    def step(ids: Any) -> Any:
        answers = [stream(np.array([token])) for token in ids]
        return torch.from_numpy(np.asarray(answers[-1].logits[0], dtype=np.float64))

    return step


def _line(meter: Any, rate: float) -> str:
    firing = "" if meter.firing_rate is None else f", firing rate {meter.firing_rate:.3f}"
    return f"{rate:.1f} tokens/s{firing}, {1e12 * meter.joules:.0f} pJ a token"
