"""A neuron scan from its equation alone: one `torch.library` node, with the gradient worked out by autograd.

The equation is plain PyTorch, written once; `define` makes of it an operation with fake tensors,
autograd, a domain, a decomposition and a rule for vmap. The backward pass computes the equation
again from the inputs, which are all that is kept. A neuron that is worth a hand-written kernel
uses `spikedrive.ops.node` instead.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from spikedrive.errors import ConfigError
from spikedrive.ops import domains
from spikedrive.ops.domain import Domain
from spikedrive.ops.surrogate import GRADIENTS

Equation = Callable[..., tuple[Tensor, ...]]
"""`equation(x, *state, *parameters, *options)`: what is emitted (T, B, ...), then the last state."""

_library = torch.library.Library("spikedrive", "FRAGMENT")


def define(
    name: str, schema: str, equation: Equation, *, domain: Callable[[Any], Domain | None]
) -> Callable[..., Any]:
    """Register `spikedrive::name` and return it as a function.

    `schema` is what `torch.library` takes, as in `"(Tensor x, Tensor v, float tau) -> (Tensor, Tensor)"`.
    The first argument is x (T, B, ...); `equation` must be made of PyTorch operations alone, without
    in-place ones, and fires through `fire`. `domain(arguments)` is the domain of the first output.
    Raises: ConfigError under `torch.vmap`.
    """
    _library.define(name + schema)
    computed = _in_one_dtype(equation)
    _library.impl(name, _with_own_memory(computed), "CompositeExplicitAutograd")
    torch.library.register_fake(f"spikedrive::{name}", computed, lib=_library)
    op = getattr(torch.ops.spikedrive, name).default
    outputs = len(op._schema.returns)
    tensors = [i for i, a in enumerate(op._schema.arguments) if "Tensor" in str(a.type)]
    pullback = _define_pullback(name, op, computed, tensors, outputs)

    class Node(torch.autograd.Function):
        """The operation below autograd, the equation's own gradient above it."""

        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            with torch._C._AutoDispatchBelowAutograd():
                results = op(*inputs)
            ctx.save_for_backward(*[inputs[i] for i in tensors])
            ctx.options = [None if i in tensors else value for i, value in enumerate(inputs)]
            return results

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            inputs = list(ctx.options)
            for i, tensor in zip(tensors, ctx.saved_tensors, strict=True):
                inputs[i] = tensor
            found: list[Any] = [None] * len(inputs)
            for i, gradient in zip(tensors, pullback(*gradients, *inputs), strict=True):
                found[i] = gradient if ctx.needs_input_grad[i] else None
            return tuple(found)

    _library.impl(name, lambda *inputs: Node.apply(*inputs), "Autograd")
    torch.library.register_vmap(f"spikedrive::{name}", _refuse_vmap(name), lib=_library)
    domains.declare(f"spikedrive.{name}.default", domain, decomposition=equation)
    return op


def _define_pullback(
    name: str, op: Any, equation: Equation, tensors: list[int], outputs: int
) -> Callable[..., Any]:
    """The gradient as an operation of its own, so that no tracer looks into it."""
    arguments = str(op._schema).partition("(")[2].rpartition(") -> ")[0]
    gradients = ", ".join(f"Tensor grad_{i}" for i in range(outputs))
    results = ", ".join(["Tensor"] * len(tensors))
    returned = f"({results})" if len(tensors) > 1 else results
    _library.define(f"{name}_pullback({gradients}, {arguments}) -> {returned}")

    def one_or_all(found: list[Tensor]) -> Any:
        return found[0] if len(found) == 1 else tuple(found)

    def pullback(*given: Any) -> Any:
        inputs = list(given[outputs:])
        with torch.enable_grad():
            for i in tensors:
                inputs[i] = inputs[i].detach().requires_grad_()
            reached = [
                (y, g) for y, g in zip(equation(*inputs), given[:outputs], strict=True) if y.requires_grad
            ]
            wanted = [inputs[i] for i in tensors]
            found = torch.autograd.grad(
                [y for y, _ in reached],
                wanted,
                [g for _, g in reached],
                allow_unused=True,
                materialize_grads=True,
            )
        # one that is an input or another's gradient would break the contract of an operation
        return one_or_all([g.clone(memory_format=torch.contiguous_format) for g in found])

    def fake(*given: Any) -> Any:
        inputs = given[outputs:]
        return one_or_all(
            [torch.empty_like(inputs[i], memory_format=torch.contiguous_format) for i in tensors]
        )

    _library.impl(f"{name}_pullback", pullback, "CompositeExplicitAutograd")
    torch.library.register_fake(f"spikedrive::{name}_pullback", fake, lib=_library)
    registered = getattr(torch.ops.spikedrive, f"{name}_pullback").default

    def call(*given: Any) -> tuple[Tensor, ...]:
        found = registered(*given)
        return found if isinstance(found, tuple) else (found,)

    return call


_AUTOCAST = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU) | torch._C.DispatchKeySet(
    torch._C.DispatchKey.AutocastCUDA
)


def _in_one_dtype(equation: Equation) -> Equation:
    """The equation in the widest type of its tensors, autocast or not.

    Under autocast a layer in front may give bf16 where weights inside are fp32, and the backward pass, which runs
    without it, must compute the same again.
    """

    def computed(*inputs: Any) -> tuple[Tensor, ...]:
        sized = [i.dtype for i in inputs if isinstance(i, Tensor) and i.is_floating_point() and i.dim() > 0]
        if len(set(sized)) > 1:
            widest = functools.reduce(torch.promote_types, sized)
            inputs = tuple(
                i.to(widest) if isinstance(i, Tensor) and i.is_floating_point() else i for i in inputs
            )
        with torch._C._ExcludeDispatchKeyGuard(_AUTOCAST):
            return equation(*inputs)

    return computed


def _with_own_memory(equation: Equation) -> Equation:
    """The equation, its outputs never views of its inputs or of each other: an operation promises that."""

    def forward(*inputs: Any) -> tuple[Tensor, ...]:
        with torch.no_grad():
            results = equation(*inputs)
        taken = {i.untyped_storage()._cdata for i in inputs if isinstance(i, Tensor)}
        own = []
        for result in results:
            shared = result.untyped_storage()._cdata in taken
            own.append(result.clone() if shared else result)
            taken.add(own[-1].untyped_storage()._cdata)
        return tuple(own)

    return forward


def _refuse_vmap(name: str) -> Callable[..., Any]:
    def refuse(*_: Any) -> Any:
        raise ConfigError(
            f"spikedrive::{name} got a tensor mapped by torch.vmap; it takes plain tensors, whose axis B is the "
            "batch. Put the mapped axis into B."
        )

    return refuse


class _Fire(torch.autograd.Function):
    """The step, with a surrogate as its derivative."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, surrogate: str, alpha: float, strict: bool) -> Tensor:
        ctx.save_for_backward(u)
        ctx.surrogate, ctx.alpha = surrogate, alpha
        return (u > 0 if strict else u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        (u,) = ctx.saved_tensors
        return grad * GRADIENTS[ctx.surrogate](u, ctx.alpha), None, None, None


def fire(u: Tensor, surrogate: str, alpha: float, strict: bool = False) -> Tensor:
    """1 where u >= 0 (u > 0 with `strict`), else 0; exactly so, with the surrogate's slope at u backward.

    Shapes: u (...) -> (...).
    """
    if torch.is_grad_enabled() and u.requires_grad:
        return _Fire.apply(u, surrogate, alpha, strict)  # type: ignore[return-value]
    return (u > 0 if strict else u >= 0).to(u.dtype)


def reset(h: Tensor, s: Tensor, threshold: float | Tensor, hard: bool, value: float, detach: bool) -> Tensor:
    """The membrane after spikes s: h where s is 0; `value` (hard) or h - threshold s (soft) where it is 1.

    With `detach` the spike is a constant here. Shapes: h, s (B, ...) -> (B, ...).
    """
    kept = s.detach() if detach else s
    return (1 - kept) * h + kept * value if hard else h - threshold * kept
