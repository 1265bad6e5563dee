"""The linear layers of a trained language model become spiking ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.errors import ConfigError
from spikedrive.training.spikellm import salience
from spikedrive.training.spikellm.format import AverageBits, Format
from spikedrive.training.spikellm.linear import SpikingLinear
from spikedrive.training.spikellm.weights import quantise_weight

Progress = Callable[[int, int], None]
"""Called with how many layers are done, and of how many."""


@dataclass
class Moments:
    """What a linear layer reads, over the calibration tokens.

    *Shapes*: hessian (C, C), the mean of x x^T; largest (C,), the largest magnitude of each channel; tokens, how many.
    """

    hessian: Tensor
    largest: Tensor
    tokens: int = 0
    _inverses: dict[float, Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, channels: int) -> Moments:
        """Of nothing yet."""
        return cls(torch.zeros(channels, channels), torch.zeros(channels))

    def add(self, x: Tensor) -> None:
        """Take the tokens of x (..., C) in."""
        rows = x.detach().flatten(0, -2).float()
        count = self.tokens + len(rows)
        self.hessian += (rows.T @ rows - len(rows) * self.hessian) / count
        self.largest = self.largest.maximum(rows.abs().amax(0))
        self.tokens = count
        self._inverses.clear()

    def smoothed(self, factors: Tensor) -> Moments:
        """Those of x / factors."""
        return Moments(self.hessian / factors.outer(factors), self.largest / factors, self.tokens)

    def inverse(self, damping: float) -> Tensor:
        """The inverse of the damped second moments, kept for the next time."""
        if damping not in self._inverses:
            self._inverses[damping] = salience.invert(self.hessian, damping)
        return self._inverses[damping]


def spike_linear(weight: Tensor, bias: Tensor | None, moments: Moments, form: Format) -> SpikingLinear:
    """The spiking layer that stands for y = W x + bias.

    Salient for the activations are the channels of the highest first-order salience, for the weights those of the
    highest second-order one, each only where `form` gives them more than one spike.

    *Shapes*: weight (O, C), bias (O,).
    *Raises*: ValueRangeError where second moments that are needed cannot be inverted.
    """
    weight = weight.detach().float()
    smooth = None
    if form.method == "smoothquant":
        smooth = _smooth(weight, moments, form.alpha)
        weight, moments = weight * smooth, moments.smoothed(smooth)
    columns = weight.shape[1]
    none = torch.zeros(columns, dtype=torch.bool)
    salient_inputs = salient_columns = none
    if form.activation_spikes > 1:
        salient_inputs = salience.most_salient(salience.first_order(weight, moments.hessian), form.salient)
    if form.weight_spikes > 1:
        score = salience.second_order(weight, moments.inverse(form.damping))
        salient_columns = salience.most_salient(score, form.salient)
    gptq = form.method == "gptq"
    quantised = quantise_weight(
        weight,
        form,
        salient=salient_columns,
        order=moments.hessian.diagonal().argsort(descending=True) if gptq else torch.arange(columns),
        inverse=moments.inverse(form.damping) if gptq else None,
    )
    bias = None if bias is None else bias.detach().float()
    return SpikingLinear(quantised, bias, form, salient=salient_inputs, smooth=smooth)


def _smooth(weight: Tensor, moments: Moments, alpha: float) -> Tensor:
    """SmoothQuant's factor of each channel: max|x|^alpha / max|w|^(1 - alpha). Source: arXiv 2211.10438, equation 4."""
    reach = weight.abs().amax(0).clamp(min=1e-5)
    return (moments.largest.clamp(min=1e-5) ** alpha / reach ** (1 - alpha)).clamp(1e-4, 1e4)


@torch.no_grad()
def observe(
    model: nn.Module, batches: Iterable[Any], *, blocks: nn.ModuleList | None = None
) -> dict[str, Moments]:
    """The moments of what each linear layer of the model's blocks reads, by the layer's name.

    All from the model as it is: layers behind quantised ones are calibrated on real inputs. Layers that read the same
    tensor share one `Moments`.

    `batches` are what the model is called with, such as tokens (B, L).
    *Raises*: ConfigError where no block holds a linear layer.
    """
    layers = dict(linear_layers(model, blocks))
    if not layers:
        raise ConfigError(
            f"observe got a {type(model).__name__} whose blocks hold no linear layer; it takes decoders of the "
            "Llama or GPT kind. Name the blocks: blocks=model.layers."
        )
    found: dict[str, Moments] = {}
    shared: dict[str, str] = {}
    last: list[tuple[str, Tensor]] = []

    def hook(name: str) -> Callable[..., None]:
        def take(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0]
            # query, key and value read one tensor, one after another
            if last and last[0][1] is x and shared.get(name, last[0][0]) == last[0][0]:
                shared[name] = last[0][0]
                found[name] = found[last[0][0]]
                return
            last[:] = [(name, x)]
            if name not in found:
                found[name] = Moments.of(x.shape[-1])
            found[name].add(x)

        return take

    handles = [layer.register_forward_pre_hook(hook(name)) for name, layer in layers.items()]
    try:
        for batch in batches:
            model(batch)
    finally:
        for handle in handles:
            handle.remove()
    return found


@torch.no_grad()
def convert_language_model(
    model: nn.Module, moments: Mapping[str, Moments], form: Format, *, progress: Progress | None = None
) -> AverageBits:
    """Replace the observed linear layers of `model` by spiking ones, in place; embedding, norms and head stay.

    *Raises*: ConfigError for moments of a layer that the model does not have.
    """
    total: AverageBits | None = None
    for number, (name, own) in enumerate(moments.items(), 1):
        try:
            layer = model.get_submodule(name)
        except AttributeError as error:
            raise ConfigError(
                f"convert_language_model got moments of {name!r}, which the {type(model).__name__} does not have; it "
                "takes those of the same model. Observe this one."
            ) from error
        weight, bias = weight_of(layer)
        spiking = spike_linear(weight, bias, own, form)
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, spiking)
        total = spiking.average_bits() if total is None else total + spiking.average_bits()
        if progress is not None:
            progress(number, len(moments))
    if total is None:
        raise ConfigError(
            "convert_language_model got no moments; it takes those of each layer. Call observe on the model first."
        )
    return total


def average_bits(model: nn.Module) -> AverageBits:
    """Over all spiking layers of a converted model.

    *Raises*: ConfigError where there is none.
    """
    found = [layer.average_bits() for layer in model.modules() if isinstance(layer, SpikingLinear)]
    if not found:
        raise ConfigError(
            f"average_bits got a {type(model).__name__} without a SpikingLinear; it takes a converted model. Call "
            "convert_language_model first."
        )
    total = found[0]
    for one in found[1:]:
        total = total + one
    return total


def linear_layers(model: nn.Module, blocks: nn.ModuleList | None = None) -> Iterator[tuple[str, nn.Module]]:
    """The linear layers in the blocks of a decoder, by name; GPT-2's Conv1D is one.

    The blocks are the model's longest ModuleList unless they are given.
    """
    if blocks is None:
        lists = [part for part in model.modules() if isinstance(part, nn.ModuleList)]
        blocks = max(lists, key=len, default=None)
    if blocks is None:
        return
    inside = {id(part) for part in blocks.modules()}
    for name, part in model.named_modules():
        if id(part) in inside and (isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D"):
            yield name, part


def weight_of(layer: nn.Module) -> tuple[Tensor, Tensor | None]:
    """The weight (O, C) and the bias of a linear layer; the Conv1D of transformers keeps its weight transposed.

    *Raises*: ConfigError for another module.
    """
    weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    if not isinstance(weight, Tensor) or weight.dim() != 2:
        raise ConfigError(
            f"weight_of got a {type(layer).__name__}; it takes nn.Linear or the Conv1D of transformers. Leave it out."
        )
    return (weight.T if type(layer).__name__ == "Conv1D" else weight), bias
