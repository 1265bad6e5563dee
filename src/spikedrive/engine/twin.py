"""The quantised twin: the fused model itself in fp64 with the program's dequantised numbers.

It shares nothing with the interpreter: the model's own forward runs, in PyTorch, with the neurons' own
scans. Every number is an integer times a power of two below 2**53, so fp64 computes it exactly, and each
neuron's output and the logits must equal the program's integers.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from spikedrive.engine.arithmetic import Conv2d, Embedding, Linear
from spikedrive.engine.ir import Neuron
from spikedrive.engine.lower import deployable
from spikedrive.engine.runtime import Program
from spikedrive.errors import DtypeError, LoweringError
from spikedrive.neurons import Neuron as NeuronModule
from spikedrive.ops.domain import Domain


@dataclass(frozen=True, eq=False)
class TwinResult:
    """The twin's logits (B, K) and neurons' outputs (T, B, ...) in the program's integer units, as fp64."""

    logits: Tensor
    neurons: dict[str, Tensor]


class Twin:
    """`model` with the numbers of `program`; call it with raw uint8 images, or token ids.

    *Shapes*: images (B, C, H, W), or (T, B, C, H, W) where the model takes sequences.
    *Raises*: LoweringError where the program is not this model's.
    """

    def __init__(self, program: Program, model: nn.Module) -> None:
        self.program = program
        self.model = deployable(model).double()
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        self._domains: dict[str, Domain] = {}
        for op in program.ops:
            if isinstance(op, (Conv2d, Linear)):
                self._replace_layer(op)
            elif isinstance(op, Embedding):
                self._replace_table(op)
            elif isinstance(op, Neuron):
                self._adjust_neuron(op)

    @torch.no_grad()
    def __call__(self, images: Tensor | np.ndarray, *, neurons: bool = True) -> TwinResult:
        """The twin's answer, and every neuron's integers by path."""
        pixels = torch.as_tensor(images)
        if pixels.dtype != torch.uint8 and not self.program.takes_tokens:
            raise DtypeError(f"The twin got {pixels.dtype} images; it takes the raw uint8 ones that the program takes. "
                             "Pass them as they were read.")  # fmt: skip
        pixels = with_steps(self.program, self.model, pixels)
        seen: dict[str, Tensor] = {}
        hooks = []
        for path, domain in self._domains.items() if neurons else ():

            def record(
                _module: nn.Module, _inputs: object, y: Tensor, path: str = path, scale: float = domain.scale
            ) -> None:
                seen[path] = y / scale

            hooks.append(self.model.get_submodule(path).register_forward_hook(record))
        try:
            logits = self.model(pixels.long() if self.program.takes_tokens else pixels.double())
        finally:
            for hook in hooks:
                hook.remove()
        # a model of sequences may keep its one step
        return TwinResult(logits.flatten(0, -2) / self.program.output.scale, seen)

    def _replace_table(self, op: Embedding) -> None:
        table = self._layer(op)
        if not isinstance(table, nn.Embedding):
            raise LoweringError(f"{op.module!r} is a {type(table).__name__}; the twin fills in the table of an "
                                "Embedding module. Write the table as such a module.")  # fmt: skip
        real = op.weight * np.exp2(op.exponent + op.shift.astype(float))
        table.weight = nn.Parameter(torch.from_numpy(real), requires_grad=False)

    def _layer(self, op: Conv2d | Linear | Embedding) -> nn.Module:
        layer = self._submodule(op.module)
        kernel = tuple(getattr(layer, "weight", torch.empty(0)).shape)
        if kernel != op.weight.shape:
            raise LoweringError(f"The program's {op.module!r} has a weight of shape {op.weight.shape} and the model's "
                                f"{kernel}; both come from one compile. Compile this model again.")  # fmt: skip
        return layer

    def _replace_layer(self, op: Conv2d | Linear) -> None:
        layer = self._layer(op)
        source = self.program.values[op.inputs[0]]
        exponents = op.exponent + op.shift.astype(float) - source.exponent
        weight = torch.from_numpy(op.weight * np.exp2(exponents).reshape(-1, *[1] * (op.weight.ndim - 1)))
        # a mean over a number that is no power of two stays in the unit of both sides
        bias = torch.from_numpy(op.bias * (2.0**op.exponent / source.divisor))
        if not isinstance(layer, (nn.Conv2d, nn.Linear)):
            raise LoweringError(f"{op.module!r} is a {type(layer).__name__}; the twin fills in the numbers of Conv2d "
                                "and Linear modules. Write the layer as such a module.")  # fmt: skip
        layer.weight = nn.Parameter(weight, requires_grad=False)
        layer.bias = None  # type: ignore[assignment]
        parent, _, name = op.module.rpartition(".")
        setattr(self._submodule(parent), name, _WithBias(_by_taps(layer), bias))

    def _adjust_neuron(self, op: Neuron) -> None:
        module = self._submodule(op.module)
        if not isinstance(module, NeuronModule):
            raise LoweringError(f"{op.module!r} is a {type(module).__name__}; the twin compares neurons module by "
                                "module. Give each neuron a module of its own.")  # fmt: skip
        assert module.domain is not None, "what was lowered to integers has a domain"
        self._domains[op.module] = module.domain
        source = self.program.values[op.inputs[0]]
        unit = 2.0 ** (source.exponent - op.fraction)
        if not op.carry and op.repeats == 1 and op.rest == 0:
            # a neuron that forgets compares with its real thresholds
            module.threshold *= source.divisor  # type: ignore[operator]
        else:
            for name, integer in (("threshold", op.threshold), ("reset_value", op.rest)):
                if hasattr(module, name):
                    setattr(module, name, integer * unit)
        if source.divisor != 1:
            step = 2.0**source.exponent

            def exact_sum(_module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
                # undo the rounding of the mean: its sum is a multiple of `step`, as are the thresholds now
                return (torch.round(inputs[0] * (source.divisor / step)) * step,)

            module.register_forward_pre_hook(exact_sum)

    def _submodule(self, path: str) -> nn.Module:
        try:
            return self.model.get_submodule(path)
        except AttributeError as error:
            raise LoweringError(f"The program has a module {path!r} that {type(self.model).__name__} lacks; both come "
                                "from one compile. Compile this model again.") from error  # fmt: skip


def with_steps(program: Program, model: nn.Module, x: Tensor) -> Tensor:
    """What a program takes as its model takes it: a model of sequences has a time axis for one step, too."""
    lacks_time = program.input.steps == 1 and x.dim() == 1 + len(program.input.shape)
    return x[None] if lacks_time and getattr(model, "input", None) in ("frames", "tokens") else x


class _WithBias(nn.Module):
    """A layer and its bias, one for each position where raw pixels have a border: zero padding is no raw zero."""

    def __init__(self, layer: nn.Module, bias: Tensor) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """layer(x) + bias."""
        return self.layer(x) + self.bias


class _TapConv2d(nn.Module):
    """A depthwise convolution as a sum over taps: PyTorch's own takes ten times as long in fp64."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """The convolution without its bias."""
        conv, (rows, columns) = self.conv, self.conv.kernel_size
        top, left = (int(p) for p in conv.padding)
        padded = pad(x, (left, left, top, top))
        (dy, dx), (sy, sx) = conv.dilation, conv.stride
        height, width = padded.shape[2] - dy * (rows - 1), padded.shape[3] - dx * (columns - 1)
        y = None
        for i, j in itertools.product(range(rows), range(columns)):
            tap = padded[:, :, i * dy : i * dy + height : sy, j * dx : j * dx + width : sx]
            factor = conv.weight[:, 0, i, j].view(-1, 1, 1)
            y = tap * factor if y is None else y.addcmul_(tap, factor)
        assert y is not None
        return y


def _by_taps(layer: nn.Conv2d | nn.Linear) -> nn.Module:
    depthwise = isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels == layer.out_channels > 1
    plain = (
        isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    )
    return _TapConv2d(layer) if isinstance(layer, nn.Conv2d) and depthwise and plain else layer
