"""Examples that a model does not take: how many, of which type, shape and number format."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from spikedrive.errors import AuditError, DtypeError, ShapeError, SpikedriveError


def examples_of(model: nn.Module, example: Any, axis: int) -> tuple[Tensor, ...]:
    """The tensors of `example`, one for each argument of the model's forward, each with a batch along `axis`.

    Raises: AuditError for a model that is no plain module or not finished, or too many or too few tensors;
    DtypeError for what is no tensor; ShapeError for an example without a batch.
    """
    _check_model(model)
    examples = tuple(example) if isinstance(example, (tuple, list)) else (example,)
    for x in examples:
        if not isinstance(x, Tensor):
            raise DtypeError(
                f"audit got an example of type {type(x).__name__}; it takes a tensor, or a tuple of tensors for "
                f"{_call(model)}. Give tensors, with options of the model set beforehand."
            )
    _check_count(model, examples)
    for x in examples:
        if x.dim() <= axis or x.shape[axis] < 1:
            raise ShapeError(
                f"trace got an example of shape {tuple(x.shape)}, which has no sample along axis {axis}; it takes "
                "(B, ...) for static inputs and (T, B, ...) for sequences. Add the batch axis."
            )
    return examples


def _check_model(model: nn.Module) -> None:
    if isinstance(model, torch.jit.ScriptModule):
        raise AuditError(
            f"audit got a {type(model).__name__}, whose Python code is gone; it takes an nn.Module as written. Give "
            "the module that was scripted."
        )
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise AuditError(
                f"{type(model).__name__} has a parameter {name!r} of no size yet; the audit takes finished weights. "
                "Call the model once on the example first."
            )


def _check_count(model: nn.Module, examples: Sequence[Tensor]) -> None:
    try:
        inspect.signature(model.forward).bind(*examples)
    except TypeError as error:
        raise AuditError(
            f"audit got {len(examples)} tensor{'s' if len(examples) != 1 else ''} as the example ({error}); it takes "
            f"one for each argument of {_call(model)}. Give them as a tuple."
        ) from error


def _call(model: nn.Module) -> str:
    return f"{type(model).__name__}.forward{inspect.signature(model.forward)}".split(" ->")[0]


def why_not_running(
    model: nn.Module, examples: Sequence[Tensor], line_of: Callable[[BaseException], str]
) -> SpikedriveError | None:
    """The error of a model that does not run on `examples` even without an export; None where it does.

    `line_of` names the line of the model that raised.
    """
    running: list[tuple[str, nn.Module, tuple[Any, ...]]] = []
    handles = []
    for name, module in model.named_modules():
        handles.append(
            module.register_forward_pre_hook(lambda m, args, name=name: running.append((name, m, args)))
        )
        handles.append(module.register_forward_hook(lambda *_: running.pop() and None))
    try:
        with torch.no_grad():
            model(*examples)
    except SpikedriveError as error:
        return error
    except Exception as error:
        return _of(model, examples, line_of(error), error, running[-1] if running else ("", model, ()))
    finally:
        for handle in handles:
            handle.remove()
    return None


def _of(
    model: nn.Module,
    examples: Sequence[Tensor],
    line: str,
    error: Exception,
    stopped: tuple[str, nn.Module, tuple[Any, ...]],
) -> AuditError:
    given = " and ".join(map(_described, examples))
    said = f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0][:200]}"
    name, layer, args = stopped
    met = next((x for x in args if isinstance(x, Tensor)), None)
    if met is None or next(layer.parameters(recurse=False), None) is None:
        return AuditError(
            f"{type(model).__name__} does not run on an example of {given}: {line} ({said}). The audit takes what the "
            "model takes when it is called. Correct that line, or the example."
        )
    place = name or "(the model itself)"
    return AuditError(
        f"{type(model).__name__} does not run on an example of {given}: its layer {place!r}, {layer}, takes "
        f"{_accepted(layer)} and got {_described(met)} ({said}). Give an example as the model takes it, with a batch."
    )


_SIZES = {
    "in_channels": "{} channels behind the batch axis",
    "in_features": "{} features along the last axis",
    "num_features": "{} channels along axis 1",
    "input_size": "{} features along the last axis",
    "num_embeddings": "whole numbers (torch.long) below {}",
}


def _accepted(layer: nn.Module) -> str:
    """What a layer says of its input: its size, and the number format of its parameters."""
    sizes = [text.format(getattr(layer, key)) for key, text in _SIZES.items() if hasattr(layer, key)]
    own = next(layer.parameters(recurse=False))
    formats = [] if isinstance(layer, nn.Embedding) else [f"{own.dtype} on {own.device}"]
    return ", ".join([*sizes[:1], *formats]) or "what its forward says"


def _described(x: Tensor) -> str:
    return f"shape {tuple(x.shape)}, {x.dtype} on {x.device}"
