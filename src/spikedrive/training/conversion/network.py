"""The converted network: the operations of the artificial one, with neurons where its activations stood."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spikedrive.blocks import MeanOverTime
from spikedrive.encoders import Direct
from spikedrive.neurons import ILIF, Neuron
from spikedrive.ops.fold import over_time
from spikedrive.state import Stateful


class EachStep(nn.Module):
    """An operation that knows no time, at every step.

    *Shapes*: inputs (T, B, ...) -> (T, B, ...).
    """

    def __init__(self, operation: nn.Module) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, *inputs: Tensor) -> Tensor:
        """The operation on all steps at once."""
        return over_time(self.operation, *inputs)


class OnMean(Stateful):
    """An operation that could not be converted, on the mean of its input over the steps so far.

    *Equation*: y_t = t f((x_1 + ... + x_t) / t) - (t - 1) f((x_1 + ... + x_(t-1)) / (t - 1)), so that the mean of y
    over T steps is f of the mean of x, which a step by step f would miss.
    *Shapes*: x (T, B, N), N numbers of one input or several, which `shapes` tell apart -> (T, B, ...).
    *Multiplies*: all that the operation does, and twice a value for the means.
    *Source*: expectation compensation, as in ECMT (Huang et al., ACM MM 2024).
    """

    def __init__(self, operation: nn.Module, shapes: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.operation = operation
        self.shapes = [tuple(shape) for shape in shapes]

    def rest(self, x: Tensor) -> None:
        """Nothing was seen yet."""
        return

    def scan(
        self, x: Tensor, state: tuple[Tensor, Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """What the answer grew by at each step; the sum of inputs, the sum of outputs and the number of steps."""
        seen, before, count = state or (torch.zeros_like(x[0]), None, x.new_zeros(()))
        steps = count + torch.arange(1, x.shape[0] + 1, dtype=x.dtype, device=x.device)
        sums = seen + x.cumsum(0)
        y = over_time(self._apply_operation, sums / steps.view(-1, 1, 1))
        totals = y * steps.view(-1, *[1] * (y.dim() - 1))
        before = torch.zeros_like(totals[0]) if before is None else before
        return totals.diff(dim=0, prepend=before.unsqueeze(0)), (sums[-1], totals[-1], steps[-1])

    def _apply_operation(self, packed: Tensor) -> Tensor:
        parts = packed.split([math.prod(shape) for shape in self.shapes], dim=1)
        return self.operation(
            *(part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True))
        )


class Unconverted(nn.Module):
    """The inputs of an `OnMean`, of which there may be several, as the one that it carries.

    *Shapes*: inputs (T, B, ...) -> (T, B, ...).
    """

    def __init__(self, operation: nn.Module, shapes: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.on_mean = OnMean(operation, shapes)

    def forward(self, *inputs: Tensor) -> Tensor:
        """What the operation's answer to the means grew by."""
        return self.on_mean(torch.cat([x.flatten(2) for x in inputs], dim=2))


def rounding(levels: int, ceiling: float) -> ILIF:
    """The neuron that emits in one step what `QCFS` is trained to, as an integer that `unroll` takes apart.

    *Equation*: y = (c / L) clip(floor(x L / c + 1/2), 0, L).
    """
    unit = ceiling / levels
    return ILIF(levels, unit, scale=unit, rounding="half_up")


class OnOff(nn.Module):
    """Integers of both signs from two neurons: one for what is above zero, one for what is below.

    *Equation*: y = N(x) - N(-x), N a neuron of `rounding`.
    *Shapes*: x (T, B, ...) -> (T, B, ...).
    *Multiplies*: none.
    """

    def __init__(self, levels: int, ceiling: float) -> None:
        super().__init__()
        self.on, self.off = rounding(levels, ceiling), rounding(levels, ceiling)

    def forward(self, x: Tensor) -> Tensor:
        """The integers times their scale."""
        return self.on(x) - self.off(-x)


class ConvertedNetwork(nn.Module):
    """A spiking network that an artificial one became; `convert` builds it.

    *Shapes*: x (B, ...) -> what the artificial network gives, its mean over T steps.
    *Multiplies*: the first layer, which reads the picture itself, and whatever the conversion lists.
    """

    def __init__(self, layers: Sequence[tuple[str, tuple[str, ...], nn.Module]], *, steps: int) -> None:
        super().__init__()
        self.encoder = Direct(steps)
        self.layers = nn.ModuleDict({name: module for name, _, module in layers})
        self.reads = {name: inputs for name, inputs, _ in layers}
        self.readout = MeanOverTime()
        # a value is forgotten behind its last reader
        last = {source: name for name, inputs in self.reads.items() for source in inputs}
        self._forget = {name: tuple(s for s in last if last[s] == name) for name in self.reads}

    @property
    def steps(self) -> int:
        """T, where `run` asks for no other number."""
        return self.encoder.steps

    def neurons(self) -> dict[str, Neuron]:
        """Every neuron by its module path."""
        return {path: module for path, module in self.named_modules() if isinstance(module, Neuron)}

    def forward(self, x: Tensor) -> Tensor:
        """The answer."""
        values = {"input": self.encoder(x)}
        y = values["input"]
        for name, module in self.layers.items():
            y = values[name] = module(*(values[source] for source in self.reads[name]))
            for source in self._forget[name]:
                del values[source]
        return self.readout(y)
