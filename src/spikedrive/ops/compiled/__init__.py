"""The plain PyTorch scans under `torch.compile`: for a CPU with a C++ compiler, but without the compiled module.

Inductor unrolls the loop over the steps and fuses it, so that memory is passed over once or twice. Products and sums
are not contracted, so that spikes and membranes are the reference's to the bit, gradients to 1e-6, that of a learned
decay, a sum over the layer, to 1e-4. A scan is made once for its options, number of steps and type, whatever the size
of a step. What cannot be made runs as the reference, and that is said once.
"""

from __future__ import annotations

import logging
import sysconfig
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor

from spikedrive import native
from spikedrive.ops import layout
from spikedrive.ops.precision import NARROW

LONGEST = 32
"""Scans of more steps run as the reference: an unrolled loop of 64 keeps its compiler busy for minutes."""

EXACT = {"cpp.enable_floating_point_contract_flag": "off", "cpp.enable_unsafe_math_opt_flag": False}
"""What inductor is told, so that every sum and product is rounded as PyTorch rounds it."""

_loops: dict[tuple[Any, ...], Callable[..., tuple[Tensor, ...]]] = {}


class Compiled:
    """A reference with both passes under `torch.compile`, and the same face."""

    def __init__(self, reference: ModuleType) -> None:
        self._reference = reference

    def forward(self, x: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        """As `reference.forward`; what is saved lies in memory as x does."""
        if not _covers(x, rest[-1]):
            return self._reference.forward(x, *rest)
        x = layout.by_steps(x)
        *results, saved = _run(self._reference.forward, x, rest)
        saved = saved.view(saved.shape[0], *x.shape[1:]) if saved.dim() == 2 else saved
        return *(_shaped(y, x) for y in results), saved.data

    def backward(self, grad: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        """As `reference.backward`; grad has the strides of the scan's output."""
        if not _covers(grad, rest[-1]):
            return self._reference.backward(grad, *rest)
        grad = layout.by_steps(grad)
        return tuple(_shaped(y, grad) for y in _run(self._reference.backward, grad, rest))

    def saved_like(self, x: Tensor, o: Any) -> Tensor:
        """An empty tensor such as `forward` saves."""
        return self._reference.saved_like(x, o)


@lru_cache(maxsize=1)
def unavailable() -> str:
    """Why `torch.compile` can make no code for a CPU here; empty where it can."""
    try:
        # slow to import, and needed here only
        from torch._dynamo import config
        from torch._inductor.cpp_builder import get_cpp_compiler

        get_cpp_compiler()
    except Exception as error:
        return f"torch.compile finds no C++ compiler ({type(error).__name__})"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "torch.compile finds no Python.h. Install Python's development files"
    return "torch.compile is turned off in the environment" if config.disable else ""


def _covers(x: Tensor, o: Any) -> bool:
    """Whether a scan like `x` is made rather than run as it is."""
    if x.shape[0] > LONGEST:
        _say_once(f"more than {LONGEST} steps are not unrolled, such scans run as a plain loop")
        return False
    # inductor takes sizes 0 and 1 for constants, and does not round 1 - decay to a half-precision decay's type
    return x.numel() // x.shape[0] > 1 and not (isinstance(o.decay, Tensor) and o.decay.dtype in NARROW)


@torch.no_grad()
def _run(function: Callable[..., Any], x: Tensor, rest: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """`function(x, *rest)` with one axis in place of all but the first, in the order of memory."""
    size, strides = x.numel() // x.shape[0], x.stride()[1:]

    def flat(y: Tensor) -> Tensor:
        if y.dim() == x.dim():
            y = layout.by_steps(y).as_strided((y.shape[0], size), (size, 1))
        else:
            y = layout.like(y, strides).as_strided((size,), (1,))
        torch._dynamo.mark_dynamic(y, y.dim() - 1)
        return y

    *arguments, o = x, *rest
    tensors = [flat(y) for y in arguments if isinstance(y, Tensor)]
    if isinstance(o.decay, Tensor):
        tensors.append(o.decay.detach())
        o = o._replace(decay=None)
    fixed = tuple(... if isinstance(y, Tensor) else y for y in arguments)
    key = function, x.shape[0], x.dtype, fixed, o
    if key not in _loops:
        _say_once(_WAIT.format(native.missing or "SPIKEDRIVE_IMPL asks for it"))
        _loops[key] = _under_torch_compile(_loop(function, fixed, o, f"scan_{len(_loops)}"))
    try:
        results = _loops[key](*tensors)
    except Exception as error:
        plain = _loop(function, fixed, o, "plain_scan")
        results = plain(*tensors)
        _say_once(f"torch.compile failed, this scan runs as a plain loop: {_reason(error)}")
        _loops[key] = plain
    return _apart(results, tensors)


def _loop(function: Callable[..., Any], fixed: tuple[Any, ...], o: Any, name: str) -> Callable[..., Any]:
    """`function` of its tensors alone: one for each `...` in `fixed`, then the decay where `o` has none."""

    def scan(*tensors: Tensor) -> Any:
        given = iter(tensors)
        arguments = [next(given) if y is ... else y for y in fixed]
        return function(*arguments, o if o.decay is not None else o._replace(decay=tensors[-1]))

    # torch.compile keeps few forms of one piece of code, and takes a number that changes for a variable
    code = scan.__code__.replace(co_name=name)
    return FunctionType(code, scan.__globals__, name, None, scan.__closure__)


def _under_torch_compile(loop: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(loop, fullgraph=True, dynamic=False, options=EXACT)


def _apart(results: tuple[Tensor, ...], tensors: list[Tensor]) -> tuple[Tensor, ...]:
    """The results, each in memory of its own: inductor hands out one buffer for two that it finds equal."""
    taken, apart = {y.untyped_storage().data_ptr() for y in tensors}, []
    for y in results:
        y = y.clone() if y.untyped_storage().data_ptr() in taken else y
        taken.add(y.untyped_storage().data_ptr())
        apart.append(y)
    return tuple(apart)


def _shaped(y: Tensor, x: Tensor) -> Tensor:
    """A result in the shape and strides of x, or of one of its steps; another one as it is."""
    if y.dim() == 2:
        y = y.as_strided(x.shape, x.stride())
    elif y.dim() == 1 and y.numel():
        y = y.as_strided(x.shape[1:], x.stride()[1:])
    # a view could not be written to by whom it is handed to
    return y.data


_WAIT = (
    "neurons run under torch.compile ({}). The first scan of each kind and number of steps waits tens of seconds for "
    "a compiler; SPIKEDRIVE_IMPL=reference does not, and is slower from then on"
)


def _reason(error: Exception) -> str:
    # the first line of a backend's failure says no more than that it failed
    return " ".join([type(error).__name__ + ":", *str(error).split("\n")[:2]])


@lru_cache
def _say_once(message: str) -> None:
    logging.getLogger("spikedrive").warning(message)
