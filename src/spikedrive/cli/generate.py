"""`spikedrive generate`: a language model's text, token by token."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikedrive.cli.output import JsonFlag, emit, note, shown
from spikedrive.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from spikedrive.blocks.language import LanguageModel
    from spikedrive.live.energy import EnergyMeter
    from spikedrive.tasks.generate import Step


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

    Tokens are printed as they come; tokens/s, firing rate and picojoules a token stand on stderr at the end.
    """
    from spikedrive.cli.language import load_language_model, open_tokenizer_of
    from spikedrive.live.energy import text_meter
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
    meter = text_meter(loaded, given)
    step = engine_step(loaded, meter) if engine else model_step(loaded, meter)
    more, text = words.stream(), ""
    drawn: list[int] = []

    def give(piece: str) -> None:
        nonlocal text
        text += piece
        if not as_json:
            typer.echo(shown(piece), nl=False)

    times = [time.perf_counter()]
    for token in generate(step, given, tokens=tokens, sampling=sampling):
        drawn.append(token)
        give(more(token))
        times.append(time.perf_counter())
    give(more.end())
    # the first token waits for the whole prompt
    seconds = [after - before for before, after in pairwise(times)][1:] or [times[1] - times[0]]
    rates = {"tokens_per_s": len(drawn) / (times[-1] - times[0]), "median_tokens_per_s": 1 / median(seconds)}
    if not as_json:
        typer.echo()
        note(figures(meter, rates))
        return
    answer: dict[str, Any] = {
        "model": model, "engine": engine, "prompt": prompt, "text": text, "tokens": drawn, **rates,
        "tokens_read": meter.steps, "neuron_layers": meter.neuron_layers, "firing_rate": meter.firing_rate,
        "picojoules_per_token": 1e12 * meter.joules, "median_picojoules_per_token": 1e12 * meter.median_joules,
        "energy_table": meter.table,
    }  # fmt: skip
    emit(answer, "", True)


def model_step(model: LanguageModel, meter: EnergyMeter) -> Step:
    """A step of the model in PyTorch, watched by `meter`."""
    import torch

    from spikedrive.state import Stream

    stream = Stream(model, along="tokens")

    def step(ids: Sequence[int]) -> Tensor:
        with torch.inference_mode(), meter.watching(len(ids)):
            return stream(torch.tensor(list(ids))[:, None])[-1, 0]

    return step


def engine_step(model: LanguageModel, meter: EnergyMeter) -> Step:
    """A step of the model's integer program, counted by `meter`.

    *Raises*: LoweringError for a model that multiplies.
    """
    import numpy as np
    import torch

    from spikedrive.engine import compile

    stream = compile(model, torch.zeros(1, 1, dtype=torch.int64)).stream()

    def step(ids: Sequence[int]) -> Tensor:
        answers = [meter.step(stream, np.array([token])) for token in ids]
        return torch.from_numpy(answers[-1].logits[0])

    return step


def figures(meter: EnergyMeter, rates: Mapping[str, float]) -> str:
    """What was measured, over which tokens."""
    if meter.firing_rate is not None:
        firing = f"firing rate {meter.firing_rate:.3f}"
    else:
        firing = "neurons without spikes" if meter.neuron_layers else "no neurons"
    return (
        f"{rates['tokens_per_s']:.1f} tokens/s, prompt included (median {rates['median_tokens_per_s']:.1f}); "
        f"mean of the {meter.steps} tokens read: {firing}, {1e12 * meter.joules:.0f} pJ a token "
        f"(median {1e12 * meter.median_joules:.0f}; table {meter.table})"
    )
