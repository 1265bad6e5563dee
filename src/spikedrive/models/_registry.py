"""Names to models: registering, finding, building, and loading what others published."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

from torch import Tensor

from spikedrive.blocks import ModelCard, SpikingModel, describe_neuron
from spikedrive.blocks.language import LanguageModel
from spikedrive.errors import ConfigError, nearest
from spikedrive.models import _pretrained, _weights
from spikedrive.registry import Registry

Remap = Callable[[dict[str, Tensor]], dict[str, Tensor]]
"""From the published layout of a state_dict to ours."""


OUR_SHAPE = "no model of this shape was published: it is ours"
"""Why a card has no published accuracy, for variants and small models of our own."""


@dataclass(frozen=True)
class Entry:
    """What the registry holds: the card, the class, its arguments for this name, and the published layout."""

    card: ModelCard
    model: type[SpikingModel]
    config: Mapping[str, Any]
    remap: Remap | None
    dead: tuple[str, ...]
    """Parts of parameter names that the release holds and never uses."""


MODELS: Registry[Entry] = Registry("model")


def register_model(
    model: type[SpikingModel],
    *,
    params: int,
    params_released: int | None = None,
    input_size: tuple[int, int, int],
    remap: Remap | None = None,
    dead: tuple[str, ...] = (),
    levels: int = 1,
    **card: Any,
) -> Callable[[Callable[[], dict[str, Any]]], Callable[[], dict[str, Any]]]:
    """Decorator: register a function that returns the arguments of `model`; its name is the model's name.

    The remaining keywords are fields of `ModelCard`; classes, steps and input come from the arguments.
    """

    def register(variant: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
        config = {**_defaults(model), **variant()}
        tokens = issubclass(model, LanguageModel)
        entry = Entry(
            ModelCard(
                name=variant.__name__,
                family=model.__module__.rsplit(".", 1)[-1],
                input_size=input_size,
                classes=config["vocabulary" if tokens else "classes"],
                steps=config.get("steps", 1),
                input="tokens" if tokens or "vocabulary" in config else config["input"],
                params=params,
                params_released=params_released,
                levels=levels,
                weights=_pretrained.read_cards(variant.__name__),
                **card,
            ),
            model,
            config,
            remap,
            dead,
        )
        MODELS.add(variant.__name__, entry)
        return variant

    return register


def create_model(
    name: str,
    *,
    pretrained: str | None = None,
    weights: str | PathLike[str] | None = None,
    as_released: bool = False,
    **config: Any,
) -> SpikingModel:
    """A new model of that name; `config` replaces its arguments, `weights` is a file of `save_model`.

    Its card is that of the name; with other arguments than that one describes, a card of its own that claims nothing
    which was published, measured or proved of the name.

    `pretrained` names weights that come with the package (`list_pretrained`), whose hash is checked; for another number
    of classes the head starts anew and has no class names. `metadata` has the mean and deviation that images are
    normalised by. With `as_released` the dead parameters of the original code are kept, so that counts equal the
    published ones.

    *Raises*: UnknownNameError for the name or the weights, ConfigError for an argument that the model does not take,
    CheckpointError for weights of another model or a damaged file.
    """
    entry = MODELS[name]
    known = _defaults(entry.model)
    if as_released and pretrained is not None and "as_released" in known:
        raise ConfigError(
            f"create_model got as_released=True and pretrained={pretrained!r} for {name}; these weights have no "
            "parameters that the released code leaves dead, and weights of that code come in by from_reference. Leave "
            "one of both out."
        )
    for key in config:
        if key not in known:
            raise ConfigError(
                f"{name} got the argument {key!r}, which it does not take. The nearest: "
                f"{', '.join(nearest(key, known))}. Change the name or leave it out."
            )
    arguments = {**entry.config, **config}
    if "as_released" in known:
        arguments["as_released"] = as_released
    model = entry.model(**arguments)
    model.card = _card_of(model, entry, arguments)
    model.config = {**arguments, "as_released": as_released}
    if pretrained is not None:
        file = _pretrained.find_pretrained(name, pretrained)
        new_head = model.classes != entry.card.classes
        model.metadata = _weights.load_weights(model, file, new_head=new_head)
    if weights is not None:
        _weights.load_weights(model, weights)
    return model


def list_models(pattern: str = "*") -> list[str]:
    """The registered models whose names match a shell pattern."""
    return MODELS.names(pattern)


def get_card(name: str) -> ModelCard:
    """The card of a model; an unknown name raises with the nearest three."""
    return MODELS[name].card


def from_reference(name: str, state_dict: Mapping[str, Any], **config: Any) -> SpikingModel:
    """The model `name` with weights in the layout of the published code.

    `state_dict` may be a whole checkpoint (weights under `state_dict` or `model`), with or without DDP's `module.`.
    Dead parameters of the release are dropped, unless `as_released=True`.

    *Raises*: CheckpointError naming keys that are missing, left over or of another shape; ConfigError for a model
    without a published layout.
    """
    entry = MODELS[name]
    if entry.remap is None:
        raise ConfigError(
            f"{name} has no published checkpoint layout; from_reference takes models whose original code is public. "
            "Use load_model for files of save_model."
        )
    model = create_model(name, **config)
    _weights.load_reference(model, entry.remap(_weights.unwrap(state_dict)), entry.dead)
    return model


def _card_of(model: SpikingModel, entry: Entry, arguments: Mapping[str, Any]) -> ModelCard:
    """The card of the name, or without its claims where the model is another."""
    other = [
        key
        for key, value in arguments.items()
        # as_released adds dead parameters, which the card counts
        if key != "as_released" and _plain(key, value) != _plain(key, entry.config[key])
    ]
    if not other:
        return entry.card
    counted = (p for name, p in model.named_parameters() if not any(part in name for part in entry.dead))
    said = ", ".join(f"{key}={_plain(key, arguments[key])!r}" for key in other)
    return replace(
        entry.card,
        classes=model.classes,
        steps=model.steps,
        input=model.input,
        task=getattr(model, "task", entry.card.task),
        params=sum(p.numel() for p in counted if p.requires_grad),
        params_released=None,
        params_derived=False,
        published={},
        unpublished=f"built with {said}: the figures of {entry.card.name} are not about it",
        verdict_released=None,
        verdict_repaired=None,
        verdicts={},
        weights={},
        measured={},
        recipe=None,
    )


def _plain(key: str, value: Any) -> Any:
    """An argument as a checkpoint's JSON gives it back, so that equal ones compare equal."""
    if key.endswith("neuron") and value is not None:
        try:
            value = describe_neuron(value)
        except ConfigError:
            # a class of one's own, which is no card's neuron
            return value
        value = {"name": value} if isinstance(value, str) else value
    if isinstance(value, Mapping):
        return {name: _plain("", item) for name, item in sorted(value.items())}
    return [_plain("", item) for item in value] if isinstance(value, (list, tuple)) else value


def _defaults(model: type[SpikingModel]) -> dict[str, Any]:
    """The arguments that a model class takes, with their defaults."""
    return {key: p.default for key, p in inspect.signature(model).parameters.items()}


__all__ = [
    "MODELS",
    "ModelCard",
    "create_model",
    "from_reference",
    "get_card",
    "list_models",
    "register_model",
]
