"""Lines of a model that cannot be exported, and what to write instead."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

from spikedrive.errors import AuditError

DATA = "The audit takes models whose control flow does not depend on tensor values."
TENSORS = "Rewrite that line with tensor operations (torch.where, masks) and audit again."

# what PyTorch's message holds: what the audit takes, and what to do
_ADVICE = {
    r"\.numpy\(\)|numpy": (
        "The audit takes models that stay in PyTorch from input to output.",
        "Replace NumPy on that line by the operation of torch.",
    ),
    r"__format__|__str__|__repr__": (
        "The audit takes models that compute and do nothing else with tensors.",
        "Leave formatting and printing of tensors out of forward.",
    ),
}


def why_not_exported(model: nn.Module, culprit: str, error: Exception) -> AuditError:
    """The error of a model that runs but cannot be exported: its line, and what to change."""
    said = (str(error).strip().splitlines() or ["no message"])[0][:200]
    takes, instead = next((a for pattern, a in _ADVICE.items() if re.search(pattern, said)), (DATA, TENSORS))
    if "data-dependent" in said:
        said = "what happens there depends on the values of a tensor"
    return AuditError(
        f"{type(model).__name__} cannot be exported: {culprit} ({type(error).__name__}: {said}). {takes} {instead}"
    )


def keeps(model: nn.Module, names: Iterable[str]) -> AuditError:
    """The error of a model whose forward remembers something."""
    return AuditError(
        f"{type(model).__name__}'s forward keeps {', '.join(names)} from call to call; the audit takes one call and "
        "would miss what later ones make of it. Run all steps in one forward, or take the state as an input and return "
        "the new one."
    )


def numbers_of(model: nn.Module) -> dict[str, str]:
    """The plain numbers that the modules hold, by name; a forward that counts its calls changes them."""
    return {
        ".".join(filter(None, ("self", path, key))): repr(value)
        for path, module in model.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, (bool, int, float))
    }


def held_by(model: nn.Module) -> dict[str, str]:
    """What the plain Python objects of the modules hold, by name: numbers, and which tensors.

    torch.export sees what is an attribute of a module, or in its lists and dicts, and not what these hold.
    """
    found: dict[str, str] = {}
    seen: set[int] = set()

    def look(name: str, value: Any, *, inside: bool) -> None:
        if isinstance(value, Tensor):
            if inside:
                found[name] = f"{id(value)} {value._version}"
        elif value is None or isinstance(value, (bool, int, float)):
            if inside:
                found[name] = repr(value)
        elif isinstance(value, (dict, list, tuple)) and id(value) not in seen:
            seen.add(id(value))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, item in items:
                look(f"{name}[{key!r}]", item, inside=inside)
        elif hasattr(value, "__dict__") and not isinstance(value, _CODE) and id(value) not in seen:
            seen.add(id(value))
            for key, item in vars(value).items():
                look(f"{name}.{key}", item, inside=True)

    for path, module in model.named_modules():
        for key, value in vars(module).items():
            if not key.startswith(("_parameters", "_buffers", "_modules")) and "_hooks" not in key:
                look(".".join(filter(None, ("self", path, key))), value, inside=False)
    return found


_CODE = (nn.Module, type, ModuleType, FunctionType, MethodType, BuiltinFunctionType)

_LOUD = ("torch.fx.experimental.symbolic_shapes", "torch._subclasses.fake_tensor")


@contextmanager
def silent() -> Iterator[None]:
    """Without what PyTorch logs about an export that fails; the error says it."""
    loggers = [logging.getLogger(name) for name in _LOUD]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        # where an export fails, the graph so far is printed
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
