"""`spikedrive bench`: an integer program against PyTorch, timed on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spikedrive.cli.calibrate import calibrate as measure_costs
from spikedrive.cli.output import JsonFlag, emit, note, table
from spikedrive.errors import ConfigError, DataError, unknown_name

if TYPE_CHECKING:
    import numpy as np

    from spikedrive.engine.measure import Progress, Row, Subject

DENSITY = 0.15


def verb(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(metavar="MODEL|RUN|CHECKPOINT|PROGRAM.sdx", help="What to measure."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Argument(help="Images for what is trained: a data set, or a folder of class folders."),
    ] = None,
    density: Annotated[
        float | None,
        typer.Option(
            help=f"Share of a model's values that are not 0, at every neuron; {DENSITY} by default."
        ),
    ] = None,
    neuron: Annotated[str | None, typer.Option(help="Another neuron for a model, such as ILIF.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Another number of steps for a model.")] = None,
    dense_separable: Annotated[
        bool, typer.Option("--dense-separable", help="Fuse depthwise and pointwise convolutions of a model.")
    ] = False,
    weight_bits: Annotated[int, typer.Option(min=2, max=8, help="Bits of a weight, sign included.")] = 7,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="RIVAL,...",
            help="fp32 (default), plain, binary, binary_plain, ann, bf16, int8, numpy; with commas between.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads, of both sides.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds.")] = 15,
    isa: Annotated[
        Literal["scalar", "neon", "avx2", "avx512", "avx512vnni"] | None,
        typer.Option(help="The widest instruction set that either side may use."),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Measure what kernels cost here instead, for every run to come."),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Time an integer program against PyTorch, or calibrate the engine to this machine.

    A model by its name gets random weights, and thresholds at which every neuron has the density asked for. A run,
    checkpoint or program keeps its own density, on real images. All take turns in one process, in random order within
    a round; a ratio is taken round by round, above 1 where the program is faster.
    """
    if isa is not None:
        raise typer.Exit(_child(context, isa))
    if calibrate:
        _check_alone(context)
        with _shown() as progress:
            return measure_costs(as_json, progress)
    if target is None:
        raise ConfigError(
            "bench got nothing to measure; it takes a model, run, checkpoint or program, or --calibrate. Name one: "
            "spikedrive models lists the models."
        )
    from spikedrive.engine.measure import check_rivals, measure, to_dict

    rivals = against.split(",") if against else None
    check_rivals(rivals or ())

    trained = _is_trained(target)
    _check_options(
        target, trained, images, density=density, neuron=neuron, steps=steps, dense=dense_separable
    )
    with _shown() as progress:
        if trained:
            subject = _trained(target, images, batch, weight_bits, progress)
        else:
            from spikedrive.engine.measure import random_subject

            changes = {
                key: value for key, value in (("neuron", neuron), ("steps", steps)) if value is not None
            }
            subject = random_subject(
                target, DENSITY if density is None else density, batch=batch, weight_bits=weight_bits,
                dense_separable=dense_separable, progress=progress, **changes,
            )  # fmt: skip
        usual = ["numpy" if subject.model is None else "fp32"]
        rows = measure(subject, rivals or usual, threads=threads, rounds=rounds, progress=progress)
    answer = to_dict(rows)
    emit(answer, _text(rows, answer["machine"]), as_json)
    if not all(row.exact for row in rows):
        raise typer.Exit(1)


def _check_alone(context: typer.Context) -> None:
    own = {"calibrate", "as_json", "isa"}
    for parameter in context.command.params:
        name = parameter.name or ""
        if name not in own and context.params.get(name) != parameter.get_default(context):
            said = parameter.opts[0] if parameter.param_type_name == "option" else context.params[name]
            raise ConfigError(
                f"bench got --calibrate and {said}; it takes --isa and --json beside it, since layers of its own are "
                "timed on one thread. Leave the rest out."
            )


def _is_trained(target: str) -> bool:
    from spikedrive.models import list_models, list_pretrained

    names = list_models()
    if target in names:
        return False
    if (
        target in list_pretrained()
        or Path(target).exists()
        or "/" in target
        or target.endswith((".safetensors", ".sdx"))
    ):
        return True
    raise unknown_name("model, run, checkpoint or program", target, names)


def _check_options(target: str, trained: bool, images: str | None, **given: Any) -> None:
    if not trained and images is not None:
        raise ConfigError(
            f"bench got the model {target} and images {images}; random weights are measured on random bytes. Leave the "
            "images out, or name a trained run."
        )
    names = {"density": "--density", "neuron": "--neuron", "steps": "--steps", "dense": "--dense-separable"}
    changed = [names[key] for key, value in given.items() if value not in (None, False)]
    if trained and changed:
        raise ConfigError(
            f"bench got {target} and {', '.join(changed)}; what is trained keeps its own, only a model by its name "
            "takes these. Leave them out."
        )


def _trained(
    target: str, images: str | None, batch: int, weight_bits: int, progress: Progress | None
) -> Subject:
    from spikedrive.cli.target import input_size, load_trained
    from spikedrive.engine import load
    from spikedrive.engine.measure import Subject, trained_subject

    if not target.endswith(".sdx"):
        model = load_trained(target)
        pixels = _pixels(images or _own_data(target), input_size(model), batch)
        return trained_subject(model, target, pixels, weight_bits=weight_bits, progress=progress)
    if not Path(target).is_file():
        raise DataError(
            f"There is no program at {target}; an .sdx file is needed. Make one: spikedrive compile RUN -o m.sdx."
        )
    program = load(target)
    if program.input.steps > 1:
        raise DataError(
            f"{target} takes sequences of {program.input.steps} frames; bench measures programs on images. Measure its "
            "model by its name, on random bytes."
        )
    channels, height, width = program.input.shape
    pixels = _pixels(images or _own_data(target), (channels, height, width), batch)
    return Subject(name=target, weights="trained", program=program, images=pixels)


def _own_data(target: str) -> str:
    """What a run was trained on."""
    recipe = Path(target) / "recipe.json"
    if not recipe.is_file():
        raise ConfigError(
            f"bench got {target} and no images; what is trained is measured on real ones. Name a data set or a folder "
            "behind it: fashion_mnist_mini is bundled."
        )
    return json.loads(recipe.read_text(encoding="utf-8"))["data"]


def _pixels(data: str, size: tuple[int, int, int], batch: int) -> np.ndarray:
    """`batch` images, spread over the set, which may be sorted by class."""
    from spikedrive.data import load_images

    channels, height, width = size
    images = load_images(data, "test", size=(height, width), channels=channels).images
    if len(images) < batch:
        raise ConfigError(
            f"bench got --batch {batch} and {data} with {len(images)} test images; it takes as many as a batch holds. "
            "Lower --batch."
        )
    return images[:: len(images) // batch][:batch].numpy()


@contextmanager
def _shown() -> Iterator[Progress]:
    """A bar on a terminal's stderr; elsewhere a line for each thing that is begun."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console, begun = Console(file=sys.stderr), [""]
    if not console.is_terminal:

        def say(what: str, done: int, total: int) -> None:
            if what != begun[0]:
                begun[0] = what
                note(f"{what} ...")

        yield say
        return
    # drawn between turns only, never beside one
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, auto_refresh=False) as bar:
        task = bar.add_task("")

        def draw(what: str, done: int, total: int) -> None:
            if what != begun[0]:
                begun[0] = what
                bar.reset(task, description=what, total=total)
            bar.update(task, completed=done)
            bar.refresh()

        yield draw


def _text(rows: list[Row], machine: dict[str, Any]) -> str:
    one = rows[0]
    body = [
        [row.against, row.form, _span(row.ours_ms, row.ours_low, row.ours_high),
         _span(row.theirs_ms, row.theirs_low, row.theirs_high), _span(row.ratio, row.ratio_low, row.ratio_high)]
        for row in rows
    ]  # fmt: skip
    origin = (
        "own weights, on real images"
        if one.asked_density is None
        else f"random weights; every threshold calibrated to density {one.asked_density:g}, on random bytes"
    )
    facts = [
        f"{one.subject}: {origin}",
        f"verdict {one.verdict or 'not audited'}; T = {one.steps}; weights of {one.weight_bits} bits; "
        f"logits {'equal to' if one.exact else 'UNLIKE'} the interpreter's",
        f"density measured in the program {one.density:.3f} ({one.density_low:.3f} to {one.density_high:.3f} "
        f"by neuron), mean value {one.rate:.3f}",
        f"batch {one.batch}, threads {one.threads}, {one.rounds} rounds, instruction set {one.isa}; {machine['cpu']}, "
        f"torch {machine['torch']}",
        "median (middle half of the rounds); a ratio above 1: the program is faster",
    ]
    return "\n".join([table(["against", "form", "ours, ms", "theirs, ms", "ratio"], body), "", *facts])


def _span(middle: float, low: float, high: float) -> str:
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def _child(context: typer.Context, isa: str) -> int:
    """The same command in a process that may use no wider instruction set; gives its exit code."""
    from spikedrive.engine.measure import caps

    words = []
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.name == "isa" or value is None or value is False:
            continue
        flag = [parameter.opts[0]] if parameter.param_type_name == "option" else []
        words += flag if value is True else [*flag, str(value)]
    command = [sys.executable, "-m", "spikedrive", "bench", *words]
    return subprocess.run(command, env={**os.environ, **caps(isa)}, check=False).returncode
