"""Two-point cells: an input that drives and a context that amplifies or silences it."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spikedrive.errors import ShapeError, unknown_name
from spikedrive.neurons._registry import register_neuron
from spikedrive.neurons.neuron import Neuron
from spikedrive.ops import checks, equation

Form = Literal["cooperator", "exponential"]


@register_neuron
class TwoPoint(Neuron):
    """A point that is driven by its input R and modulated by its context C.

    *Equation*:

        cooperator    y = relu6(R^2 + 2 R + 2 C (1 + |R|))
        exponential   y = R (1 + exp(R C)) / 2

    The context is what `context`, a module of one's own, makes of the same input: a linear layer for the
    other cells of a population, or one that keeps another stream. Without one C = 0, and the cell is a
    point neuron: relu6(R^2 + 2 R), or R itself. `modulate` takes both as tensors.

    *Shapes*: x (T, B, ...) -> (T, B, ...); context (T, B, ...) -> what broadcasts with it.
    *Multiplies*: R by R and C by |R| (cooperator), R by C, an exponential and R by its result (exponential):
    it emits real numbers, so the audit names these, and the products of the next layer.
    *Raises*: UnknownNameError for another form; ShapeError for a context that does not broadcast.
    *Source*: the cooperator's equation as published without code; the exponential form is that of the
    earlier two-point papers. Neither was compared with an original.

    >>> TwoPoint()(torch.tensor([[[-1.0, 0.0, 1.0, 2.0]]])).flatten().tolist()
    [0.0, 0.0, 3.0, 6.0]
    """

    def __init__(self, context: nn.Module | None = None, form: Form = "cooperator") -> None:
        super().__init__()
        _check_form(form)
        self.context = context
        self.form: Form = form

    @property
    def domain(self) -> None:
        """Real numbers."""
        return

    def rest(self, x: Float[Tensor, "T B *S"]) -> None:
        """Nothing is carried."""
        return

    def scan(self, x: Float[Tensor, "T B *S"], state: None) -> tuple[Float[Tensor, "T B *S"], None]:
        """The modulated input."""
        checks.scan_input("TwoPoint", x, None)
        return modulate(x, None if self.context is None else self.context(x), self.form), None

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"form={self.form}"


def modulate(
    receptive: Float[Tensor, "T B *S"], context: Float[Tensor, "..."] | None = None, form: Form = "cooperator"
) -> Float[Tensor, "T B *S"]:
    """The receptive field R modulated by the context C, as `TwoPoint` has it.

    *Shapes*: receptive (T, B, ...), context what broadcasts with it -> (T, B, ...).
    *Raises*: UnknownNameError, ShapeError.
    """
    _check_form(form)
    c = torch.zeros_like(receptive) if context is None else context
    try:
        c = c.expand(receptive.shape)
    except RuntimeError as error:
        raise ShapeError(
            f"modulate got a context of shape {tuple(c.shape)} for an input of shape {tuple(receptive.shape)}; it "
            "takes one that broadcasts to the input. Let the context module give one value a cell."
        ) from error
    return two_point(receptive, c, form)[0]


def _check_form(form: str) -> None:
    if form not in ("cooperator", "exponential"):
        raise unknown_name("form", form, ("cooperator", "exponential"))


def _equation(x: Tensor, context: Tensor, form: str) -> tuple[Tensor, Tensor]:
    if form == "cooperator":
        y = (x * x + 2 * x + 2 * context * (1 + x.abs())).clamp(0, 6)
    else:
        y = 0.5 * x * (1 + (x * context).exp())
    return y, x.new_empty(0)


two_point = equation.define(
    "two_point", "(Tensor x, Tensor context, str form) -> (Tensor, Tensor)", _equation, domain=lambda _: None
)
