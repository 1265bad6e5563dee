"""What every model is: its card, and a module with its arguments, its neurons by path and a feature pyramid."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from spikedrive.encoders import Direct
from spikedrive.errors import ConfigError, DtypeError, ShapeError, unknown_name
from spikedrive.neurons import Neuron
from spikedrive.neurons.neuron import check_count

InputKind = Literal["image", "frames", "tokens", "points"]
Verdict = Literal["additive", "gated-additive", "hybrid"]


@dataclass(frozen=True)
class ModelCard:
    """One registered model with its default arguments.

    *Shapes*: `input` "image" takes (B, C, H, W); "frames" takes (T, B, C, H, W); "tokens" (L, B);
    "points" (B, N, D), N points of D numbers each, of a set that has no order.
    *Units*: `steps` is T, `levels` is D (the largest integer a hidden neuron emits), `params` count tensors' elements.
    """

    name: str
    """Registered name, `family_size`."""
    family: str
    """Name of the file in `models/`."""
    input_size: tuple[int, int, int]
    """(C, H, W) that the published or measured figures belong to; (1, 1, L) for tokens and (D, N, 1) for
    points."""
    classes: int
    """Number of logits K; for tokens the vocabulary."""
    params: int
    """Trainable parameters without dead ones."""
    params_released: int | None = None
    """Trainable parameters as released, dead ones included; None where nothing was released."""
    params_derived: bool = False
    """Whether `params` follow from the published layer table alone, and from no count of the released code."""
    task: str = "classify"
    modality: str = "image"
    input: InputKind = "image"
    steps: int = 1
    levels: int = 1
    paper: str = ""
    """arXiv id."""
    published: Mapping[str, float | str] = field(default_factory=dict)
    """Figures that others published and nobody measured here; `source` says where they stand."""
    unpublished: str = ""
    """Why `published` holds no accuracy, where it holds none."""
    verdict_released: Verdict | None = None
    """What the audit says of the model as it trains; None where `verdicts` say it."""
    verdict_repaired: Verdict | None = None
    """What it says of `fuse(model, dense_separable=True)`, and after `make_additive`; None where `verdicts` say it."""
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    """Of both forms by the argument that decides it, `name=value`."""
    weights: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Tag to url, sha256, licence and measured figures."""
    licence: str = "Apache-2.0"
    """Licence of the original code, or of this one where there is none."""
    recipe: str | None = None
    """The recipe that trains it, the published one where there is one: `spikedrive train RECIPE model=NAME`."""
    measured: Mapping[str, float | str] = field(default_factory=dict)
    """Figures that a command of this repository measured."""


class SpikingModel(nn.Module):
    """A network from pictures to logits.

    `card` describes the registered model with its default arguments, `config` holds the arguments that
    `create_model` rebuilds this one from, `metadata` what came with a checkpoint, and `fused` the arguments of
    `fuse` where this is a fused copy. `classes`, `steps`, `input` and `in_channels` are those of this one; with
    frames, `steps` is the number that the model was published for, and any number is taken.

    With points, `in_channels` is D, and the model brings its own coding in time.

    *Shapes*: x (B, C, H, W) for `input="image"`, (T, B, C, H, W) for "frames", (B, N, D) for "points" -> (B, K).
    *Raises*: ShapeError, DtypeError for another input; ConfigError for arguments out of range.
    """

    def __init__(self, *, input: InputKind, in_channels: int, classes: int, steps: int) -> None:
        super().__init__()
        name = type(self).__name__
        if input not in get_args(InputKind):
            raise unknown_name("kind of input", input, get_args(InputKind))
        for key, value in (("in_channels", in_channels), ("classes", classes), ("steps", steps)):
            check_count(name, key, value)
        self.input, self.in_channels, self.classes, self.steps = input, in_channels, classes, steps
        self.card: ModelCard | None = None
        self.config: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.fused: dict[str, bool] | None = None
        self.encoder = Direct(steps) if input == "image" else nn.Identity()

    @abstractmethod
    def forward(self, x: Tensor) -> Any:
        """Logits (B, K)."""

    @abstractmethod
    def forward_features(self, x: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """Membrane potentials (T, B, C, H, W) of the asked pyramid levels, finest first; all by default."""

    def encode(self, x: Tensor) -> Tensor:
        """The checked input with its T axis, (T, B, C, H, W); points (B, N, D) as they are."""
        axes = {"image": "(B, C, H, W)", "points": "(B, N, D)"}.get(self.input, "(T, B, C, H, W)")
        channels = "D" if self.input == "points" else "C"
        rank, at = len(axes.split(",")), -1 if self.input == "points" else -3
        name = self.card.name if self.card else type(self).__name__
        if x.dim() != rank or x.shape[at] != self.in_channels:
            raise ShapeError(
                f"{name} got an input of shape {tuple(x.shape)}; it takes {axes} with {channels} = {self.in_channels}. "
                f"{_shape_advice(x, rank, self.in_channels, at)}"
            )
        if rank > 3 and min(x.shape[-2:]) < 1:
            raise ShapeError(
                f"{name} got an input of shape {tuple(x.shape)}; it takes pictures of at least one pixel. "
                "Look for a crop or a resize to nothing."
            )
        if not torch.is_floating_point(x):
            raise DtypeError(
                f"{name} got an input of dtype {x.dtype}; it takes floating point. "
                "Normalise first: data.transforms.normalise(images, mean, std)."
            )
        dtype = next(self.parameters()).dtype
        if x.dtype != dtype and not torch.is_autocast_enabled(x.device.type):
            raise DtypeError(
                f"{name} got an input of dtype {x.dtype}; it takes {dtype}, as its weights are. "
                f"Convert with x.to({dtype}), or the model with model.to({x.dtype})."
            )
        return self.encoder(x)

    def neurons(self) -> dict[str, Neuron]:
        """Every neuron by its module path, in the order of definition."""
        return {path: module for path, module in self.named_modules() if isinstance(module, Neuron)}


def select_levels(levels: Sequence[int] | None, count: int) -> tuple[int, ...]:
    """The asked pyramid levels out of `count`, sorted; all by default.

    *Raises*: ConfigError for a level that there is not.

    >>> select_levels((2, 0), 3)
    (0, 2)
    """
    several = range(count) if levels is None else levels if isinstance(levels, Iterable) else ()
    chosen = tuple(sorted(set(several)))
    if not chosen or any(level not in range(count) for level in chosen):
        raise ConfigError(
            f"forward_features got levels={levels}; it takes some of 0..{count - 1}. Change levels."
        )
    return chosen


def _shape_advice(x: Tensor, rank: int, channels: int, at: int) -> str:
    if x.dim() == rank - 1:
        return "Add the missing axis: x.unsqueeze(0)."
    if at == -1 and x.dim() == rank and x.shape[1] == channels:
        return "The numbers of a point stand first: x.movedim(1, 2)."
    if at == -3 and x.dim() == rank and x.shape[-1] == channels:
        return "The channels stand last: x.movedim(-1, -3)."
    return f"Change the input, or build the model with in_channels={x.shape[at] if x.dim() >= -at else 1}."
