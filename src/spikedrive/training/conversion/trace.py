"""From any module that torch.export takes to a list of operations, BatchNorm folded."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from spikedrive.errors import ConfigError
from spikedrive.state import Stateful
from spikedrive.training.conversion.operations import BATCH, Call, Input, Operation, Weighted

_WEIGHTED = {
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "linear",
}
_NORM = {"_native_batch_norm_legit_no_training", "batch_norm"}
_SAME = {"clone", "alias", "detach", "contiguous", "dropout", "lift_fresh_copy"}
# f(mean of x) = mean of f(x), whatever the arguments
_LINEAR = {
    "add", "sub", "neg", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
    "adaptive_avg_pool3d", "_adaptive_avg_pool2d", "mean", "sum", "view", "reshape", "_unsafe_view", "flatten",
    "permute", "transpose", "unsqueeze", "squeeze", "cat", "pad", "constant_pad_nd", "slice", "select", "expand",
    "upsample_nearest1d", "upsample_nearest2d", "upsample_bilinear2d",
}  # fmt: skip
_REASONS = {
    "max_pool": "the largest of several rates is no rate of largest spikes; train with average pooling instead",
    "softmax": "an exponential and a division",
    "norm": "its statistics come from the values themselves; train with BatchNorm instead",
    "matmul": "a product of two values that both depend on the input",
    "bmm": "a product of two values that both depend on the input",
    "mul": "a product of two values that both depend on the input",
    "attention": "a softmax between products of values that depend on the input",
}


def trace(ann: nn.Module, example: Tensor) -> list[Operation]:
    """The operations of `ann` in the order in which they run, BatchNorm folded into the layer in front of it.

    *Shapes*: example (B, ...), of at least two samples.
    *Raises*: ConfigError for a network that spikes already, takes several inputs, gives several outputs, cannot be
    exported with a free batch size, or has no activation that could become a neuron.
    """
    spiking = next((path for path, module in ann.named_modules() if isinstance(module, Stateful)), None)
    if spiking is not None:
        raise ConfigError(
            f"convert got a network whose {spiking or 'own class'} has a state over time; it takes one that was "
            "trained without time. A network of spikedrive's neurons needs no conversion."
        )
    program = _export(ann, example)
    signature = program.graph_signature
    inputs, outputs = len(signature.user_inputs), len(signature.user_outputs)
    if (inputs, outputs) != (1, 1):
        raise ConfigError(
            f"convert got a network with {inputs} inputs and {outputs} outputs; it takes one of "
            "each. Wrap it in a module that has one input (B, ...) and one output."
        )
    found = _Tracer(program).run()
    if not any(operation.kind == "activation" for operation in found):
        raise ConfigError(
            f"convert got {type(ann).__name__}, in which no activation could become a neuron; it takes ReLU, ReLU6 and "
            "clamps from 0. Replace the activations by one of these and train again."
        )
    return found


@contextmanager
def in_eval(ann: nn.Module) -> Iterator[None]:
    """The network in eval mode; behind the block each of its modules is in the mode that it was in."""
    training = [module for module in ann.modules() if module.training]
    ann.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _export(ann: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    try:
        shapes = ({0: torch.export.Dim("batch", min=2)},)
        with in_eval(ann), torch.no_grad(), warnings.catch_warnings():
            # torch 2.13 warns about its own use of LeafSpec
            warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
            exported = torch.export.export(ann, (example[:2],), dynamic_shapes=shapes)
            return exported.run_decompositions({})
    except Exception as error:
        raise ConfigError(
            f"convert got {type(ann).__name__}, which torch.export does not take: {str(error).splitlines()[0]}. "
            "It takes one graph for every batch size: keep Python out of the forward that depends on values."
        ) from error


class _Tracer:
    def __init__(self, program: torch.export.ExportedProgram) -> None:
        self.nodes = list(program.graph.nodes)
        signature = program.graph_signature
        self.output = next(iter(signature.user_outputs))
        weights = {**program.state_dict, **program.constants}
        named = {
            **signature.inputs_to_parameters, **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }  # fmt: skip
        # what each node stands for: a tensor, an operation's name, or BATCH
        self.known: dict[fx.Node, Any] = {}
        for node in self.nodes:
            if node.op == "placeholder":
                is_input = node.name in signature.user_inputs
                self.known[node] = Input("input") if is_input else weights[named[node.name]].detach()
        self.found: list[Operation] = []
        self.users: dict[str, int] = {}

    def run(self) -> list[Operation]:
        for node in self.nodes:
            if node.op == "call_function":
                self.known[node] = self._take(node)
        last = next(node for node in self.nodes if node.name == self.output)
        if self.known[last] != Input(self.found[-1].name):
            # nothing that runs behind the output matters
            names = [operation.name for operation in self.found]
            self.found = self.found[: names.index(self.known[last].name) + 1]
        return self.found

    def _take(self, node: fx.Node) -> Any:
        name = str(node.target).removeprefix("aten.").split(".")[0]
        args = [self._value(arg) for arg in node.args]
        kwargs = {key: self._value(value) for key, value in node.kwargs.items()}
        if name == "sym_size":
            if args[1] == 0:
                return BATCH
            raise self._strange(node, "a size of an axis other than the batch")
        if node.target is operator.getitem and isinstance(args[0], Input):
            return args[0]
        if name in _SAME:
            return args[0]
        if name in _NORM:
            return self._normalise(node, args)
        inputs = _inputs(args) + _inputs(list(kwargs.values()))
        if any(_inputs([value]) for value in kwargs.values()) or not inputs:
            raise self._strange(node, "a tensor among its named arguments, or none at all")
        if name in _WEIGHTED and isinstance(args[1], Tensor):
            return self._add(node, "weighted", inputs[:1], self._weighted(node, args))
        top = _saturation(name, args)
        if top is not None:
            call = Call(node.target, args, kwargs)
            return self._add(node, "activation", inputs, call, top=top)
        if isinstance(node.meta.get("val"), list | tuple):
            raise self._strange(node, "several outputs")
        kind, reason = _place(name, args)
        return self._add(node, kind, inputs, Call(node.target, args, kwargs), reason=reason)

    def _add(self, node: fx.Node, kind: Any, inputs: list[Input], module: nn.Module, **more: Any) -> Input:
        stack = list(node.meta.get("nn_module_stack", {}).values())
        path = stack[-1][0] if stack else ""
        what = str(node.target).removeprefix("aten.").split(".")[0]
        names = tuple(each.name for each in inputs)
        self.found.append(Operation(node.name, kind, names, module, path, what, **more))
        for each in names:
            self.users[each] = self.users.get(each, 0) + 1
        return Input(node.name)

    def _weighted(self, node: fx.Node, args: list[Any]) -> Weighted:
        target: Any = node.target
        defaults = [_default(argument) for argument in target._schema.arguments[len(args) :]]
        full = [*args, *defaults]
        return Weighted(node.target, full[1], full[2], full[3:])

    def _normalise(self, node: fx.Node, args: list[Any]) -> Input:
        x, weight, bias, mean, variance = args[:5]
        eps = args[6] if "native" in str(node.target) else args[7]
        factor = torch.rsqrt(variance + eps) * (1.0 if weight is None else weight)
        shift = (0.0 if bias is None else bias) - mean * factor
        source = next((operation for operation in self.found if operation.name == x.name), None)
        read = sum(1 for other in node.all_input_nodes[0].users if other.op == "call_function")
        if (
            source is not None
            and isinstance(source.module, Weighted)
            and read == 1
            and not source.module.transposed
        ):
            source.module.scale_outputs(factor, shift)
            return x
        return self._add(
            node, "linear", [x], _Affine(factor, shift),
            reason="no layer with weights in front of it could take its factor, one multiplication a value",
        )  # fmt: skip

    def _value(self, arg: Any) -> Any:
        if isinstance(arg, fx.Node):
            if arg not in self.known:
                raise self._strange(arg, "arithmetic on sizes")
            return self.known[arg]
        if isinstance(arg, list | tuple):
            return [self._value(item) for item in arg]
        return arg

    def _strange(self, node: fx.Node, what: str) -> ConfigError:
        stack = list(node.meta.get("nn_module_stack", {}).values())
        path = (stack[-1][0] if stack else "") or "the network itself"
        return ConfigError(
            f"convert got an operation {node.target} in {path} with {what}; it takes operations from tensors (B, ...) "
            "to one tensor. Write the sizes as numbers, and use each part on its own."
        )


class _Affine(nn.Module):
    """A BatchNorm that nothing could take: y = x * factor + shift, one number a channel."""

    factor: Tensor
    shift: Tensor

    def __init__(self, factor: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("factor", factor)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        shape = (-1, *[1] * (x.dim() - 2))
        return x * self.factor.view(shape) + self.shift.view(shape)


def _inputs(args: list[Any]) -> list[Input]:
    found = []
    for arg in args:
        if isinstance(arg, Input):
            found.append(arg)
        elif isinstance(arg, list):
            found += _inputs(arg)
    return found


def _default(argument: Any) -> Any:
    return argument.default_value if argument.has_default_value() else None


def _saturation(name: str, args: list[Any]) -> float | None:
    """Where an activation that becomes a neuron saturates; None for every other operation."""
    if name == "relu":
        return math.inf
    if name == "relu6":
        return 6.0
    low, high = ([*args[1:3], None, None])[:2]
    if name == "hardtanh" and low == 0:
        return float(high)
    if name in ("clamp", "clamp_min") and low == 0:
        return math.inf if high is None else float(high)
    return None


def _place(name: str, args: list[Any]) -> tuple[Any, str]:
    by_constant = len(_inputs(args)) == 1 and name in ("mul", "div") and isinstance(args[0], Input)
    if name in _LINEAR or by_constant:
        tensor = by_constant and isinstance(args[1], Tensor)
        return "linear", "a factor for each channel, one multiplication a value" if tensor else ""
    reason = next((why for part, why in _REASONS.items() if part in name), "no neuron has this form")
    return "other", reason
