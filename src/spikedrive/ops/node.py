"""Registering a neuron scan as one `torch.library` node.

`torch.library.custom_op` would do the same in fewer lines, but costs some 0.3 ms a call on a CPU,
more than the scan of a small layer; this registration costs a tenth of that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack

from spikedrive.errors import ConfigError
from spikedrive.ops import domains
from spikedrive.ops.domain import Domain

_library = torch.library.Library("spikedrive", "FRAGMENT")

Setup = Callable[[Any, tuple[Any, ...], tuple[Any, ...]], None]
"""`setup(ctx, inputs, outputs)`: what to keep for the backward pass."""


def define(
    name: str,
    schema: str,
    *,
    forward: Callable[..., Any],
    fake: Callable[..., Any],
    decomposition: Callable[..., Any],
    setup: Setup,
    backward: Callable[..., Any],
    domain: Callable[[Any], Domain | None],
) -> Callable[..., Any]:
    """Register `spikedrive::name` with forward, fake tensors, autograd, vmap, domain and decomposition.

    Returns the operation as a function, which calls the kernel directly where nobody watches.

    `decomposition` is the plain, functional PyTorch form. The op's last output is what the backward
    pass needs; no gradient flows into it. `backward(ctx, *gradients)` gets None for an output that
    nothing depends on, and calls an operation of `define_pullback`, so that no tracer looks into it.
    Under `torch.vmap` the mapped axis becomes part of the batch.
    """
    _library.define(name + schema)
    _library.impl(name, forward, "CompositeExplicitAutograd")
    torch.library.register_fake(f"spikedrive::{name}", fake, lib=_library)
    op = getattr(torch.ops.spikedrive, name).default

    class Node(torch.autograd.Function):
        """The autograd kernel: the op itself below autograd, the analytic gradient above it."""

        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            if _unwatched(inputs):
                outputs = forward(*inputs)
            else:
                with torch._C._AutoDispatchBelowAutograd():
                    outputs = op(*inputs)
            ctx.mark_non_differentiable(outputs[-1])
            ctx.set_materialize_grads(False)
            setup(ctx, inputs, outputs)
            return outputs

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            return backward(ctx, *gradients)

    _library.impl(name, lambda *inputs: Node.apply(*inputs), "Autograd")
    torch.library.register_vmap(f"spikedrive::{name}", _mapped_into_the_batch(name, op), lib=_library)
    domains.declare(f"spikedrive.{name}.default", domain, decomposition=decomposition)

    def call(*inputs: Any) -> Any:
        if torch.compiler.is_compiling() or not _unwatched(inputs):
            return op(*inputs)
        return Node.apply(*inputs)

    return call


def define_pullback(name: str, schema: str, *, forward: Callable[..., Any], fake: Callable[..., Any]) -> Any:
    """Register `spikedrive::name`, the gradient of a scan, and return it as a function."""
    _library.define(name + schema)
    _library.impl(name, forward, "CompositeExplicitAutograd")
    torch.library.register_fake(f"spikedrive::{name}", fake, lib=_library)
    op = getattr(torch.ops.spikedrive, name).default

    def pull_back(*inputs: Any) -> Any:
        # with a gradient of the gradient asked for, the operation cuts it, whatever PyTorch computes inside
        return forward(*inputs) if _unwatched(inputs) and not torch.is_grad_enabled() else op(*inputs)

    return pull_back


def _unwatched(inputs: tuple[Any, ...]) -> bool:
    """Whether the dispatcher would do nothing but call the operation: the call can then go without it.

    A tracer, a fake, wrapped or lazily negated tensor, a transform and a profiler must see the operation itself.
    """
    for x in inputs:
        if isinstance(x, Tensor) and (type(x) not in (Tensor, torch.nn.Parameter) or x.is_neg()):
            return False
    return (
        not torch._C._len_torch_dispatch_stack()
        and not torch._C._len_torch_function_stack()
        and torch._C._get_tracing_state() is None
        and peek_interpreter_stack() is None
        and not torch.autograd._profiler_enabled()  # pyright: ignore[reportPrivateImportUsage]
    )


def _mapped_into_the_batch(name: str, op: Any) -> Callable[..., Any]:
    """The vmap rule of a scan: x (T, B, ...) is its first argument, its states (B, ...) follow."""
    arguments = op._schema.arguments

    def mapped(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> Any:
        count, folded = info.batch_size, []
        for i, (value, axis) in enumerate(zip(inputs, in_dims, strict=True)):
            if not isinstance(value, Tensor):
                folded.append(value)
            elif value.dim() - (axis is not None) == 0 or arguments[i].name in (
                "decay",
                "current_decay",
                "first",
            ):
                if axis is not None:
                    raise ConfigError(
                        f"spikedrive::{name} got a {arguments[i].name} mapped by torch.vmap; it takes one for the "
                        "whole layer. Map x and the state alone."
                    )
                folded.append(value)
            else:
                batch = 1 if i == 0 else 0
                whole = (
                    value.unsqueeze(0).expand(count, *value.shape) if axis is None else value.movedim(axis, 0)
                )
                folded.append(whole.movedim(0, batch).flatten(batch, batch + 1))
        outputs = op(*folded)
        batches = folded[0].shape[1]
        unfolded, out_dims = [], []
        for k, y in enumerate(outputs):
            batch = 1 if k == 0 else 0
            kept = y.dim() > batch and y.shape[batch] == batches and k < len(outputs) - 1
            unfolded.append(y.unflatten(batch, (count, batches // count)) if kept else y)
            out_dims.append(batch if kept else None)
        return tuple(unfolded), tuple(out_dims)

    return mapped
