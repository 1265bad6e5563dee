"""`spikedrive eval`: accuracy of a trained classifier; perplexity, or recall, of a trained language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spikedrive.cli.output import JsonFlag, emit
from spikedrive.errors import ConfigError, DataError

if TYPE_CHECKING:
    from spikedrive.blocks import SpikingModel
    from spikedrive.data import ImageSet
    from spikedrive.training import Recipe

TAKES = {
    "accuracy": ("data", "split", "tokenizer"),
    "anytime": ("data", "rule", "tolerance", "steps"),
    "flow": ("data", "split"),
    "perplexity": ("data", "split", "tokenizer"),
    "mqar": ("length", "samples", "seed", "pairs"),
    "passkey": ("length", "samples", "seed", "digits", "tokenizer"),
}
"""The options of each task, beside those that all have."""


def verb(
    run: Annotated[str, typer.Argument(metavar="RUN|CHECKPOINT", help="A run's folder or a checkpoint.")],
    data: Annotated[
        str | None,
        typer.Option(
            help="A folder of class folders, an .npz, an idx folder or a bundled name; for text a folder or a name."
        ),
    ] = None,
    split: Annotated[
        Literal["train", "val", "test"] | None, typer.Option(help="Which part of the data; test by default.")
    ] = None,
    task: Annotated[
        Literal["accuracy", "anytime", "flow", "perplexity", "mqar", "passkey"] | None,
        typer.Option(
            help="accuracy on images or texts with labels, or anytime: accuracy against steps, with a rule that stops "
            "early; flow: how far predicted optical flow is off; of language models perplexity on text, or whether "
            "they recall: mqar (values of keys) or passkey (a number in filler text). By default what it learned."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images or texts at a time.")] = 128,
    tokenizer: Annotated[
        str | None, typer.Option(help="'bytes' or a tokenizer.json, in place of the checkpoint's own copy.")
    ] = None,
    length: Annotated[
        int | None, typer.Option(help="Of mqar and passkey: tokens of a text; those trained with by default.")
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Of mqar and passkey: texts; 100 by default.")] = None,
    pairs: Annotated[
        int | None, typer.Option(help="Of mqar: keys with values in a text; 8 by default, or as it learned.")
    ] = None,
    digits: Annotated[
        int | None, typer.Option(help="Of passkey: digits of the number; 5 by default, or as it learned.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of mqar and passkey: which texts; 0 by default.")] = None,
    rule: Annotated[
        Literal["confidence", "gap"] | None,
        typer.Option(help="Of anytime: what has to be large enough to stop; confidence by default."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="Of anytime: accuracy that may be lost, 0 to 1; 0.005 by default."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=2, help="Of anytime: steps at the most; those trained with by default.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure accuracy on images with labels, bits a byte and perplexity on text, or recall.

    Recall stands beside what guessing would give. With --task anytime the threshold at which answers stop is chosen on
    the validation split, and all figures are of the test split.
    """
    from spikedrive.cli.target import checkpoint_path
    from spikedrive.models import load_model

    loaded = load_model(checkpoint_path(run))
    if loaded.input == "tokens":
        lm = loaded.card is not None and loaded.card.task == "lm"
        kinds = ("perplexity", "mqar", "passkey") if lm else ("accuracy",)
    elif loaded.card is not None and loaded.card.task == "flow":
        kinds = ("flow",)
    else:
        kinds = ("accuracy",) if loaded.metadata.get("task") in _OF_VIDEO else ("accuracy", "anytime")
    learned = str(loaded.metadata.get("task"))
    chosen = task or (learned if learned in kinds else kinds[0])
    if chosen not in kinds:
        raise ConfigError(
            f"{run} takes {loaded.input}s, and the task {chosen} came; it can be asked for {', '.join(kinds)}. Choose "
            "one of these, or leave --task out."
        )
    options: dict[str, Any] = {
        "data": data, "split": split, "tokenizer": tokenizer, "length": length, "samples": samples, "pairs": pairs,
        "digits": digits, "seed": seed, "rule": rule, "tolerance": tolerance, "steps": steps,
    }  # fmt: skip
    given = {key: value for key, value in options.items() if value is not None}
    takes = [key for key in TAKES[chosen] if key != "tokenizer" or loaded.input == "tokens"]
    for key in given:
        if key not in takes:
            raise ConfigError(
                f"The task {chosen} got --{key}; it takes {', '.join(f'--{k}' for k in takes)}. Leave it out."
            )
    if "data" in TAKES[chosen] and data is None:
        labelled = "images or texts with labels" if chosen == "accuracy" else "images with labels"
        what = {"perplexity": "text", "flow": "clips of events with flow"}.get(chosen, labelled)
        raise ConfigError(f"The task {chosen} came without --data; it takes {what}. Add --data FOLDER.")
    judge = {
        "accuracy": _accuracy,
        "anytime": _anytime,
        "flow": _flow,
        "perplexity": _perplexity,
        "mqar": _mqar,
        "passkey": _passkey,
    }[chosen]
    found, said = judge(loaded, run, batch_size, given)
    emit({"run": run, "task": chosen, **found}, said, as_json)


_OF_VIDEO = ("video", "segment", "pose")

Found = tuple[dict[str, Any], str]
"""What goes into the JSON, and the same for people."""


def _accuracy(_model: SpikingModel, run: str, batch_size: int, given: dict[str, Any]) -> Found:
    if _model.input == "tokens":
        return _accuracy_of_texts(_model, given, batch_size)
    if _model.metadata.get("task") in _OF_VIDEO:
        return _figures_of_video(_model, given, batch_size)
    if "events" in _model.metadata:
        return _accuracy_of_clips(_model, given, batch_size)
    from spikedrive.cli.target import judged_images, load_trained
    from spikedrive.training import evaluate

    model, split = load_trained(run), given.get("split", "test")
    images, known = judged_images(model, given["data"], split), model.metadata
    result = evaluate(model, images, batch_size=batch_size, mean=known["mean"], std=known["std"])
    answer = {"data": given["data"], "split": split, "images": len(images)}
    answer |= {key: float(result[key]) for key in ("accuracy", "loss")}
    return answer, f"accuracy {answer['accuracy']:.2%}, loss {answer['loss']:.4f} on {len(images)} images"


def _anytime(_model: SpikingModel, run: str, batch_size: int, given: dict[str, Any]) -> Found:
    if "events" in _model.metadata:
        return _anytime_of_clips(_model, run, batch_size, given)
    from spikedrive.cli.target import judged_images, load_trained
    from spikedrive.training import evaluate_anytime

    model = load_trained(run)
    validation, test = (
        _validation_images(model, run, given["data"]),
        judged_images(model, given["data"], "test"),
    )
    settings = {"steps": model.steps, **{key: value for key, value in given.items() if key != "data"}}
    known = model.metadata
    found = evaluate_anytime(
        model, validation, test, batch_size=batch_size, mean=known["mean"], std=known["std"], **settings
    )
    said = _said_early(found, f"{len(test)} images", len(validation))
    return {"data": given["data"], "images": len(test), "validation_images": len(validation), **found}, said


def _anytime_of_clips(model: SpikingModel, run: str, batch_size: int, given: dict[str, Any]) -> Found:
    from dataclasses import replace

    from spikedrive.data.events import FrameReader, list_event_splits, load_events
    from spikedrive.training import evaluate_anytime_clips
    from spikedrive.training.prepare import prepare_clips

    data, reader = given["data"], FrameReader.of_record(model.metadata["events"])
    settings = {key: value for key, value in given.items() if key not in ("data", "steps")}
    if "steps" in given:
        reader = replace(reader, steps=given["steps"])
    own = "val" in list_event_splits(data)
    validation = load_events(data, "val") if own else prepare_clips(_recipe_of(run, data)).validation
    test = load_events(data, "test")
    found = evaluate_anytime_clips(model, validation, test, reader, batch_size=batch_size, **settings)
    said = _said_early(found, f"{len(test)} clips", len(validation))
    return {"data": data, "clips": len(test), "validation_clips": len(validation), **found}, said


def _said_early(found: dict[str, Any], judged: str, chosen: int) -> str:
    fixed = found["smallest_fixed"]
    return (
        f"accuracy {found['accuracy']:.2%} after {found['steps']:.2f} steps on average, {found['saved']:.0%} fewer "
        f"than the {fixed['steps']:.0f} fixed ones that reach {fixed['accuracy']:.2%}; who knows the labels needs "
        f"{found['oracle'][-1]['steps']:.2f} for {found['oracle'][-1]['accuracy']:.2%} ({judged}, threshold chosen on "
        f"{chosen} others)"
    )


def _validation_images(model: SpikingModel, run: str, data: str) -> ImageSet:
    """Those of the data, or those that the run chose its checkpoint by: never what it learned from."""
    from spikedrive.cli.target import judged_images
    from spikedrive.data import list_splits
    from spikedrive.training.prepare import prepare_images

    if "val" in list_splits(data):
        return judged_images(model, data, "val")
    return prepare_images(_recipe_of(run, data)).validation


def _recipe_of(run: str, data: str) -> Recipe:
    """What a run's folder says that it was trained by."""
    import json
    from pathlib import Path

    from spikedrive.training import Recipe

    recipe = Path(run) / "recipe.json"
    if not recipe.is_file():
        raise DataError(
            f"{data} has no validation split and {run} no recipe.json that says what it kept; the threshold is chosen "
            "on samples that neither taught nor judge. Name the run's folder, or add a split val."
        )
    return Recipe(**json.loads(recipe.read_text()))


def _accuracy_of_texts(model: SpikingModel, given: dict[str, Any], batch_size: int) -> Found:
    from spikedrive.cli.target import check_classes
    from spikedrive.data.text import encode_labelled, load_labelled, recorded_tokenizer
    from spikedrive.training import evaluate_labelled

    split, words = given.get("split", "test"), recorded_tokenizer(model.metadata, given.get("tokenizer"))
    texts = load_labelled(given["data"], split)
    check_classes(given["data"], texts.class_names, model.metadata.get("class_names", ()))
    found = evaluate_labelled(model, encode_labelled(texts, words, _context(model)), batch_size=batch_size)
    said = f"accuracy {found['accuracy']:.2%}, loss {found['loss']:.4f} on {found['texts']} texts"
    return {"data": given["data"], "split": split, **found}, said


def _accuracy_of_clips(model: SpikingModel, given: dict[str, Any], batch_size: int) -> Found:
    from spikedrive.cli.target import check_classes
    from spikedrive.data.events import PairedReader, load_events, load_paired, read_record
    from spikedrive.training import evaluate_clips

    split, record = given.get("split", "test"), model.metadata["events"]
    two = PairedReader.of_record(record) if record.get("kind") == "paired" else None
    clips = load_events(given["data"], split) if two is None else load_paired(given["data"], split)
    check_classes(given["data"], clips.class_names, model.metadata["class_names"])
    reader: Any = read_record(record) if two is None else two
    found = evaluate_clips(model, clips, reader, batch_size=batch_size)
    said = f"accuracy {found['accuracy']:.2%}, loss {found['loss']:.4f} on {found['clips']} clips"
    return {"data": given["data"], "split": split, **found}, said


def _figures_of_video(model: SpikingModel, given: dict[str, Any], batch_size: int) -> Found:
    from spikedrive.data.video import load_video
    from spikedrive.training import evaluate_video

    split, learned = given.get("split", "test"), model.metadata["task"]
    found = evaluate_video(model, load_video(given["data"], split), learned, batch_size=batch_size)
    judged = {
        "video": f"accuracy {found['accuracy']:.2%}",
        "segment": f"mIoU {found.get('miou', 0):.2%}, pixels {found['accuracy']:.2%}",
        "pose": f"PCK {found['accuracy']:.2%}, off by {found.get('pixel_error', 0):.2f} pixels",
    }[learned]
    said = f"{judged}, loss {found['loss']:.4f} on {found['clips']} clips"
    return {"data": given["data"], "split": split, "learned": learned, **found}, said


def _flow(model: SpikingModel, run: str, batch_size: int, given: dict[str, Any]) -> Found:
    from spikedrive.data.events.simulated import load_flow
    from spikedrive.training import evaluate_flow
    from spikedrive.training.prepare.flow import FlowPart

    known = model.metadata.get("flow")
    if known is None:
        raise DataError(
            f"{run} does not say how its events are read; a checkpoint of a run with --task flow does. Name one."
        )
    split = given.get("split", "test")
    clips = load_flow(given["data"], split, size=known["size"], dt=known["dt"])
    found = evaluate_flow(model, FlowPart(clips, tuple(range(len(clips)))), batch_size=min(batch_size, 16))
    said = (
        f"endpoint error {found['aee']:.3f} pixels a step, {found['angle']:.1f} degrees, {found['outliers']:.2%} "
        f"outliers on {found['clips']} clips; an answer of zero is off by {found['still']:.3f}"
    )
    return {"data": given["data"], "split": split, **found}, said


def _perplexity(model: SpikingModel, _run: str, batch_size: int, given: dict[str, Any]) -> Found:
    from spikedrive.cli.language import open_tokenizer_of
    from spikedrive.data.text import load_tokens
    from spikedrive.training import evaluate_text

    split, words = given.get("split", "test"), open_tokenizer_of(model, given.get("tokenizer"))
    tokens = load_tokens(given["data"], split, words)
    found = evaluate_text(model, tokens, context=_context(model), batch_size=batch_size)
    said = f"{found['bits_per_byte']:.4f} bits a byte, perplexity {found['perplexity']:.3f} on {found['tokens']} tokens"
    return {"data": given["data"], "split": split, **found}, said


def _mqar(model: SpikingModel, _run: str, batch_size: int, given: dict[str, Any]) -> Found:
    from spikedrive.tasks.answers import answer
    from spikedrive.tasks.mqar import multi_query_recall

    settings = {
        "length": _context(model),
        "samples": 100,
        "pairs": 8,
        "seed": 0,
        **_asked(model, "mqar"),
        **given,
    }
    asked = multi_query_recall(model.classes, **settings)
    found = answer(model, asked, batch_size=batch_size)
    said = (
        f"{found['accuracy']:.2%} of {found['answers']} values recalled, by chance {asked.chance:.2%} "
        f"({settings['pairs']} pairs in {settings['length']} tokens, {found['samples']} texts)"
    )
    return {**settings, **found, "chance": asked.chance}, said


def _passkey(model: SpikingModel, _run: str, batch_size: int, given: dict[str, Any]) -> Found:
    from spikedrive.cli.language import open_tokenizer_of
    from spikedrive.tasks.answers import answer
    from spikedrive.tasks.passkey import passkey

    words = open_tokenizer_of(model, given.pop("tokenizer", None))
    settings = {
        "length": _context(model),
        "samples": 100,
        "digits": 5,
        "seed": 0,
        **_asked(model, "passkey"),
        **given,
    }
    asked = passkey(words, **settings)
    found = answer(model, asked, batch_size=batch_size)
    said = (
        f"{found['all_right']:.2%} of {found['samples']} numbers recalled, by chance {asked.chance:.2g} "
        f"({settings['digits']} digits in {settings['length']} tokens); {found['accuracy']:.2%} of their tokens"
    )
    return {**settings, **found, "chance": asked.chance}, said


def _asked(model: SpikingModel, task: str) -> dict[str, Any]:
    """How a model was asked while it learned this very task."""
    return dict(model.metadata["asked"]) if model.metadata.get("task") == task else {}


def _context(model: SpikingModel) -> int:
    """Tokens of a text that the model learned from."""
    return int(model.metadata.get("context", 256))
