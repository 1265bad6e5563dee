"""Every product that a network executes, seen by its values and without the audit's help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = {"mul", "mul_", "mm", "bmm", "addmm", "baddbmm", "pow", "square", "matmul"}
WEIGHTS = {"convolution", "mm", "addmm"}
FUNCTIONS = {"sigmoid", "exp", "gelu", "tanh", "div"}

MOST_LEVELS = 8
"""Numbers between the smallest and the largest of what a neuron here emits, signs included."""

DEPENDS, WEIGHED = 1, 2


@dataclass
class Product:
    """One executed operation that multiplies: its operands as they were, and what they depend on."""

    op: str
    operands: list[Tensor]
    depth: list[int]

    @property
    def of_two_values(self) -> bool:
        """Whether both operands depend on the input."""
        return sum(depth > 0 for depth in self.depth) == 2 or self.op in FUNCTIONS

    @property
    def of_reals(self) -> bool:
        """Whether no operand is a few levels of one number, so that nothing but a multiplier computes it."""
        return self.op in FUNCTIONS or not any(is_leveled(x) for x in self.operands)

    @property
    def weighs_reals(self) -> bool:
        """Whether a layer meets real numbers that an earlier layer made."""
        if self.op not in WEIGHTS or self.of_two_values:
            return False
        x, weight = self.operands
        if bool((torch.frexp(weight.abs())[0].eq(0.5) | weight.eq(0)).all()):
            # signs and powers of two
            return False
        return self.depth[0] >= WEIGHED and not is_leveled(x, most=10**6)


@dataclass
class Watch(TorchDispatchMode):
    """Collects the products of what runs inside; `inputs` are what the products may depend on."""

    inputs: tuple[Tensor, ...]
    products: list[Product] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        # memory under any name: views and writes in place share it
        self._depth = {x.untyped_storage()._cdata: DEPENDS for x in self.inputs}
        self._kept: list[Any] = [x.untyped_storage() for x in self.inputs]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.split("::")[1]
        read = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        depth = [self._of(x) for x in read]
        if (
            max(depth, default=0)
            and (name in PRODUCTS | WEIGHTS | FUNCTIONS)
            and not self._scales(name, depth)
        ):
            pairs = list(zip(read, depth, strict=True))
            if name in ("addmm", "baddbmm"):
                pairs = pairs[1:]
            if name == "convolution":
                pairs = pairs[:2]
            if name in ("pow", "square"):
                pairs = pairs[:1] * 2
            self.products.append(Product(name, [x.clone() for x, _ in pairs], [d for _, d in pairs]))
        out = func(*args, **kwargs)
        deepest = max(depth, default=0)
        if name in WEIGHTS | FUNCTIONS and deepest:
            deepest = WEIGHED
        for x in pytree.tree_leaves(out):
            if isinstance(x, Tensor) and deepest:
                storage = x.untyped_storage()
                self._depth[storage._cdata] = max(deepest, self._of(x))
                self._kept.append(storage)
        return out

    def _of(self, x: Tensor) -> int:
        return self._depth.get(x.untyped_storage()._cdata, 0)

    def _scales(self, name: str, depth: list[int]) -> bool:
        """Whether it multiplies one value by a constant, which may fold somewhere."""
        return name in ("mul", "mul_", "div") and sum(d > 0 for d in depth) < 2


def is_leveled(x: Tensor, most: int = MOST_LEVELS) -> bool:
    """Whether each element takes whole multiples of one number (of its own) over the samples, up to an offset."""
    values = x.detach().double().flatten(1)
    away = values - values.amin(0)
    size = away.amax(0)
    tolerance = 1e-9 * (1 + values.abs().amax(0))
    unit = torch.zeros_like(size)
    for row in away:
        # Euclid, for all elements at once
        a, b = torch.maximum(unit, row), torch.minimum(unit, row)
        while bool((b > tolerance).any()):
            rest = torch.where(b > tolerance, a - b * (a / b.clamp(min=1e-300)).round(), 0.0).abs()
            a, b = torch.where(b > tolerance, b, a), torch.where(b > tolerance, rest, b)
        unit = a
    levels = torch.where(unit > tolerance, size / unit.clamp(min=1e-300), 0.0)
    return bool((levels <= most + 0.5).all())
