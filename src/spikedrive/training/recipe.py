"""What a training run is made of: one flat, frozen, typed value."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from spikedrive.errors import ConfigError, nearest

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]

TASKS = (
    "classify",
    "masked",
    "lm",
    "mqar",
    "passkey",
    "text_classification",
    "events",
    "paired",
    "flow",
    "video",
    "segment",
    "pose",
)

Class = TypeVar("Class", bound=type)


def _raises_config_error(cls: Class) -> Class:
    # every way to build a recipe passes here, so that a typing slip reads the same in Python and on the command line
    build: Callable[..., None] = cls.__init__

    @functools.wraps(build)
    def __init__(self: Any, **fields: Any) -> None:
        known = [f.name for f in dataclasses.fields(cls)]
        for key in fields:
            if key not in known:
                close = nearest(key, known)
                raise ConfigError(
                    f"A recipe has no key {key!r}; it has {len(known)}, the nearest are {', '.join(close)}. "
                    f"Write {close[0]}=... or leave it out."
                )
        try:
            build(self, **fields)
        except ValidationError as error:
            raise ConfigError(_sentence(error)) from None

    cls.__init__ = __init__  # pyright: ignore[reportAttributeAccessIssue]
    return cls


@_raises_config_error
@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", validate_default=True))
class Recipe:
    """Everything that decides how a run trains; the same recipe on the same machine gives the same bits.

    *Units*: epochs and warmup_epochs in passes over the training images, save_minutes in minutes,
    the rest without unit. `batch_size` counts the samples of one optimizer step, over all processes.
    *Raises*: ConfigError for an unknown key, a wrong type or a value out of range.

    >>> Recipe(model="meta_spikeformer_nano", data="fashion_mnist_mini").optimizer
    'adamw'
    """

    model: str
    """A name that `list_models()` knows."""
    data: str
    """A name or path that `data.load_images` takes; for the task lm, that `data.text.load_tokens` takes,
    for text_classification that `data.text.load_labelled` takes, for events that `data.events.load_events` takes,
    for flow that `data.events.simulated.load_flow` takes, for paired that `data.events.load_paired` takes, for video,
    segment and pose that `data.video.load_video` takes; the names of the tasks mqar and passkey, which make their
    own."""
    model_args: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of `create_model`."""
    task: dict[str, Any] = Field(default_factory=lambda: {"name": TASKS[0]})
    """What is learned: {"name": "classify"} with `anytime` (the weight of `training.losses.anytime_loss`, 0.002 in its
    source), or {"name": "masked"} with `ratio`, `width` and `depth` where they are
    others than those of `tasks.MaskedAutoencoder`, or {"name": "lm"} with `context` (tokens of a crop, 256),
    `tokenizer` (bytes, or a path), `steps` (in an epoch) and `wrap` (of `tasks.lm.loss`), or {"name": "mqar"} and
    {"name": "passkey"} with `length` (tokens of a text), `pairs` or `digits`, `samples` (texts to choose by), `steps`
    and for the passkey `tokenizer`, or {"name": "events"} with `window` (microseconds of a step; a clip's
    whole duration over the steps where it is left out), `steps`, `levels` (the largest count, 255), `size` (side of the
    frames), `points` (events of a clip, for models of points), `clips` (at the most) and `anytime`, or
    {"name": "paired"} (two cameras) with `window`, `levels`, `clips` and `anytime`, or, of clips of video,
    {"name": "video"} (the class of a clip), {"name": "segment"} (that of every pixel) and {"name": "pose"} (key
    points) with `clips`, for segment `balance` (of `tasks.segment.class_weights`, 0), or {"name": "flow"} with `dt`
    (microseconds of a step, 20,000), `size` (side of the frames, 64), `clips`, and `angle` (of `tasks.flow.loss`)."""
    image_size: Annotated[int, Field(ge=1)] | None = None
    """Side of the square images; None takes the model card's."""
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training images on which the checkpoint is chosen."""
    epochs: Count = 10
    batch_size: Count = 64
    accumulate: Count = 1
    """Parts in which the batch of one process is computed, to save memory."""
    shards: Annotated[int, Field(ge=0)] = 0
    """Parts of a batch that are augmented and mixed on their own; 0 stands for processes x accumulate.
    Runs with equal shards see equal images, however many processes share them."""
    lr: Positive = 1e-3
    """The highest learning rate."""
    lr_end: Share = 0.01
    """The last learning rate as a share of the highest."""
    warmup_epochs: NotNegative = 1.0
    optimizer: Literal["adamw", "lamb", "sgd"] = "adamw"
    optimizer_args: dict[str, Any] = Field(default_factory=dict)
    """betas and eps, for lamb also trust_clip; for sgd momentum and nesterov. For all of them layer_decay,
    the factor by which the learning rate falls from each layer to the one in front (`make_optimizer`)."""
    weight_decay: NotNegative = 0.05
    """On weights of two or more axes only."""
    clip: NotNegative = 0.0
    """Largest norm of the gradient; 0 leaves it alone."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the moving average of the weights that is validated and saved; 0 takes the weights themselves."""
    augment: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Transforms of `data.transforms`, for clips of `data.events.augment`, by name with their arguments, in order."""
    mix: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Mixup, CutMix or both, with their arguments; of both each batch draws one. For clips MixArea, MixTime and, behind
    these, EventRPG."""
    mix_epochs: Annotated[int, Field(ge=0)] = 0
    """The first epochs, whose images alone are mixed; 0 mixes in all."""
    teacher: str | None = None
    """A checkpoint, or a file of `distill.save_teacher`, whose top class the model's distillation head learns."""
    weights: str | None = None
    """A checkpoint of the same model to start from; other classes, and a teacher, get a new head."""
    seed: Annotated[int, Field(ge=0)] = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["32-true", "bf16-mixed", "64-true"] = "32-true"
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """How processes share the work; they are started by torchrun."""
    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads of each process; 0 leaves PyTorch's choice."""
    save_minutes: NotNegative = 10.0
    """Within an epoch, minutes between resumable checkpoints; 0 keeps those at the end of each epoch only."""

    def replace(self, **changes: Any) -> Recipe:
        """The same recipe with some keys changed."""
        return Recipe(**{**self.to_dict(), **changes})

    def override(self, assignments: Sequence[str]) -> Recipe:
        """The recipe with `key=value` texts applied, each value read as the key's type.

        `model_args.levels=2` sets one entry of a key that holds a table; tables also take JSON.

        >>> Recipe(model="m", data="d").override(["lr=0.01", "model_args.levels=2"]).model_args
        {'levels': 2}
        """
        values = self.to_dict()
        texts = {f.name for f in dataclasses.fields(self) if str(f.type).startswith("str")}
        for text in assignments:
            key, equals, value = text.partition("=")
            name, dot, entry = key.strip().partition(".")
            if not equals:
                raise ConfigError(
                    f"Got the override {text!r}; it takes key=value. Write for example lr=0.001."
                )
            if dot and name in values and not isinstance(values[name], dict):
                raise ConfigError(f"Got the override {text!r}; {name} holds no table. Write {name}={value}.")
            if dot:
                values[name] = _with_entry(values.get(name, {}), entry.split("."), _parsed(value))
            else:
                values[name] = _parsed(value, keep_text=name in texts)
        return Recipe(**values)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return dataclasses.asdict(self)

    def differences(self, other: Recipe) -> list[str]:
        """`key: this, not that` for each key in which two recipes differ."""
        mine, theirs = self.to_dict(), other.to_dict()
        return [f"{key}: {mine[key]!r}, not {theirs[key]!r}" for key in mine if mine[key] != theirs[key]]


def _with_entry(table: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    head, *rest = path
    inner = table.get(head)
    return {
        **table,
        head: _with_entry(inner if isinstance(inner, dict) else {}, rest, value) if rest else value,
    }


def _parsed(text: str, *, keep_text: bool = False) -> Any:
    if text in ("none", "None"):
        return None
    if keep_text:
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] in ("missing", "missing_keyword_only_argument"):
        return f"A recipe came without {key!r}; it takes at least model and data. Add {key}=..."
    accepted = first["msg"].removeprefix("Input should be ").replace("greater than", "a number greater than")
    return f"The recipe key {key!r} got {first['input']!r}; it takes {accepted}. Change {key}=..."
