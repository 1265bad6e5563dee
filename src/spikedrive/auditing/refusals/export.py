"""Lines of a model that cannot be exported, and what to write instead."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr

from torch import nn

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
