"""The neuron as an argument: names, classes and factories become modules, and go back into a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from spikedrive.errors import ConfigError
from spikedrive.neurons import ILIF, Neuron, get_neuron
from spikedrive.neurons.neuron import check_number
from spikedrive.ops.surrogate import named_surrogate

NeuronLike = str | Mapping[str, Any] | Callable[[], Neuron]
"""A registered name, `{"name": ..., **arguments}` (a surrogate by its name), a class, or a factory."""


def make_neuron(neuron: NeuronLike, *, threshold: float = 1.0, gain: float = 1.0) -> Neuron:
    """A new neuron whose threshold is `threshold` times its own, and whose output `gain` times.

    *Multiplies*: none; a threshold is a comparison, and an output scale folds into the next weight.
    *Raises*: ConfigError for what is no neuron, a threshold where the neuron has none, or a gain where it has no
    output scale; UnknownNameError for an unknown name.

    >>> make_neuron({"name": "ILIF", "levels": 2}, threshold=0.5).threshold
    0.5
    """
    check_number("make_neuron", "threshold", threshold, above=0)
    check_number("make_neuron", "gain", gain, above=0)
    made: Any = _build(neuron)
    if gain != 1.0:
        if not isinstance(getattr(made, "scale", None), float):
            raise ConfigError(
                f"{type(made).__name__} got the gain {gain:g} and has no output scale; this place takes an ILIF. "
                "Use one, or a gain of 1."
            )
        made.scale *= gain
    if threshold == 1.0:
        return made
    own = getattr(made, "threshold", None)
    if not isinstance(own, float):
        raise ConfigError(
            f"{type(made).__name__} got the relative threshold {threshold:g} and has no threshold to scale; this place "
            "takes a neuron with one. Use LIF, PLIF, IF or ILIF."
        )
    made.threshold = own * threshold
    return made


def integer_neuron(neuron: NeuronLike) -> Neuron:
    """A new neuron that emits plain integers 0..D, whatever its output scale would be.

    *Multiplies*: none.
    *Raises*: as `make_neuron`.

    >>> integer_neuron({"name": "ILIF", "scale": 0.25}).domain
    Domain(low=0, high=4, scale=1.0)
    """
    made = make_neuron(neuron)
    if isinstance(made, ILIF):
        made.scale = 1.0
    return made


def describe_neuron(neuron: NeuronLike) -> str | dict[str, Any]:
    """The JSON form of `neuron`, which `make_neuron` takes back.

    *Raises*: ConfigError for a factory whose arguments cannot be written.

    >>> describe_neuron(partial(get_neuron("ILIF"), levels=2))
    {'name': 'ILIF', 'levels': 2}
    """
    if isinstance(neuron, str):
        return neuron
    if isinstance(neuron, Mapping):
        return dict(neuron)
    if isinstance(neuron, partial) and not neuron.args:
        inner = describe_neuron(neuron.func)
        described = {**({"name": inner} if isinstance(inner, str) else inner), **neuron.keywords}
        try:
            return json.loads(json.dumps(described))
        except TypeError as error:
            raise ConfigError(
                f"The neuron's arguments {described} cannot be written to a file; numbers, texts and booleans can. "
                "Register a class with those defaults (neurons.register_neuron) and pass its name."
            ) from error
    if isinstance(neuron, type) and issubclass(neuron, Neuron):
        return neuron.__name__
    raise ConfigError(
        f"The neuron {neuron!r} cannot be written to a file; a name, a registered class or a functools.partial of one "
        "can. Register the neuron (neurons.register_neuron) and pass its name."
    )


def _build(neuron: NeuronLike) -> Neuron:
    if isinstance(neuron, str):
        return get_neuron(neuron)()
    if isinstance(neuron, Mapping):
        arguments = dict(neuron)
        name = arguments.pop("name", None)
        if not isinstance(name, str):
            raise ConfigError(
                f"A neuron got the mapping {dict(neuron)}, which has no name; it takes a key 'name' beside the "
                "arguments. Write {'name': 'ILIF', 'levels': 4}."
            )
        if isinstance(arguments.get("surrogate"), str):
            arguments["surrogate"] = named_surrogate(arguments["surrogate"])
        try:
            return get_neuron(name)(**arguments)
        except TypeError as error:
            raise ConfigError(
                f"{name} got {arguments}, which it does not take ({error}). Change the arguments."
            ) from error
    if isinstance(neuron, Neuron):
        raise ConfigError(
            f"neuron= got one {type(neuron).__name__} module; each place needs its own. Pass the class or a factory."
        )
    made = neuron() if callable(neuron) else neuron
    if not isinstance(made, Neuron):
        raise ConfigError(
            f"neuron= got {neuron!r}, which gives a {type(made).__name__}; it takes a name, a Neuron class or a "
            "factory of one. Pass for example neuron='LIF'."
        )
    return made
