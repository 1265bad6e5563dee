"""Registering a neuron scan as one `torch.library` node.

`torch.library.custom_op` would do the same in fewer lines, but costs some 0.3 ms a call on a CPU,
more than the scan of a small layer; this registration costs a tenth of that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

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
    reference: Callable[..., Any],
    setup: Setup,
    backward: Callable[..., Any],
    domain: Callable[[Any], Domain],
    fake: Callable[..., Any] | None = None,
) -> None:
    """Register `spikedrive::name` with forward, fake tensors, autograd, domain and decomposition.

    `reference` is the plain, functional PyTorch form: it is what the node decomposes into, and gives
    the shapes and strides of fake tensors where no `fake` does so faster. The op's last output is
    what the backward pass needs; no gradient flows into it.
    """
    _library.define(name + schema)
    _library.impl(name, forward, "CompositeExplicitAutograd")
    torch.library.register_fake(f"spikedrive::{name}", fake or reference, lib=_library)
    op = getattr(torch.ops.spikedrive, name).default

    class Node(torch.autograd.Function):
        """The autograd kernel: the op itself below autograd, the analytic gradient above it."""

        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            with torch._C._AutoDispatchBelowAutograd():
                outputs = op(*inputs)
            ctx.mark_non_differentiable(outputs[-1])
            setup(ctx, inputs, outputs)
            return outputs

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            return backward(ctx, *gradients)

    _library.impl(name, lambda *inputs: Node.apply(*inputs), "Autograd")
    domains.declare(f"spikedrive.{name}.default", domain, decomposition=reference)
