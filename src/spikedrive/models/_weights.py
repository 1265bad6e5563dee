"""Weights on disk: one safetensors file that says what model it belongs to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from spikedrive.blocks import SpikingModel, describe_neuron, fuse
from spikedrive.errors import CheckpointError, ConfigError, SpikedriveError
from spikedrive.files import atomic_write

FORMAT = "spikedrive-model-1"
_HEAD = "head.linear."
_SCALE = "#scale"


def save_model(
    model: SpikingModel,
    path: str | PathLike[str],
    *,
    metadata: Mapping[str, Any] | None = None,
    bits: Literal[8, 16] | None = None,
) -> None:
    """Write the weights and everything that `load_model` needs to build the model again.

    `metadata` (JSON values: class_names, mean, std, input_size, ...) is kept beside the model's own. `bits` rounds what
    is written: 16 keeps fp16; 8 keeps tensors of two and more dimensions as int8 with a scale for each index of the
    first, and the others in fp16. They are loaded as fp32.

    *Raises*: ConfigError for a model that was not built by `create_model` or whose arguments are no JSON;
    StorageError where the file cannot be written, the previous one is untouched.
    """
    card = getattr(model, "card", None)
    if card is None:
        raise ConfigError(
            f"save_model got a {type(model).__name__} without a card; it takes models of create_model, which can be "
            "built again. Register the variant (models.register_model) and create it by name, or keep any other module "
            "with torch.save."
        )
    config = {
        key: describe_neuron(value) if key.endswith("neuron") and value is not None else value
        for key, value in model.config.items()
    }
    header = {
        **model.metadata,
        **(metadata or {}),
        "format": FORMAT,
        "model": card.name,
        "config": config,
    }
    if model.fused is not None:
        header["fused"] = model.fused
    try:
        text = json.dumps(header, sort_keys=True)
    except TypeError as error:
        raise ConfigError(
            f"save_model got metadata that JSON cannot hold ({error}). Use numbers, texts and lists."
        ) from error
    # contiguous copies: channels_last weights are stored in the usual order
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    tensors = _rounded(tensors, bits) if bits else tensors
    with atomic_write(path) as temporary:
        # through memory: safetensors reports a full disk as an error of its own kind
        temporary.write_bytes(save(tensors, metadata={"spikedrive": text}))


def load_model(path: str | PathLike[str]) -> SpikingModel:
    """The model of a file of `save_model`, in eval mode, its metadata in `model.metadata`.

    *Raises*: CheckpointError for a file that is missing, damaged, of another kind, or does not fit its own model.
    """
    from spikedrive.models._registry import create_model  # the registry imports this file

    header, tensors = _read(path)
    try:
        model = create_model(header["model"], **header["config"])
        model = fuse(model, **header["fused"]) if "fused" in header else model
    except SpikedriveError as error:
        raise CheckpointError(
            f"{path} holds the model {header['model']!r}, which this version cannot build: {error}"
        ) from error
    dtype = next((value.dtype for value in tensors.values() if value.is_floating_point()), torch.float32)
    # half precision is how a file is kept, and not how a model computes
    dtype = torch.float32 if dtype == torch.float16 else dtype
    _load(model.to(dtype), tensors, f"{path} ({header['model']})")
    model.metadata = _metadata(header)
    return model.eval()


def load_weights(model: SpikingModel, path: str | PathLike[str], *, new_head: bool = False) -> dict[str, Any]:
    """Fill `model` from a file of `save_model`; with `new_head` its classification head keeps its own values.

    Gives the metadata in the file; a new head knows neither the classes' names nor what was scored on them. A model
    with a distillation head takes a file without one: its label head is then the file's one head, and its teacher's
    head keeps its own values.

    *Raises*: CheckpointError for a file that is damaged or belongs to another model; the model is then untouched.
    """
    header, tensors = _read(path)
    own = model.state_dict()
    label, taught = f"{_HEAD}label.", f"{_HEAD}teacher."
    if f"{_HEAD}weight" in tensors and f"{label}weight" in own:
        tensors = {key.replace(_HEAD, label): value for key, value in tensors.items()}
        tensors |= {key: value for key, value in own.items() if key.startswith(taught)}
    if new_head:
        tensors = {key: value for key, value in tensors.items() if not key.startswith(_HEAD)}
        tensors |= {key: value for key, value in own.items() if key.startswith(_HEAD)}
    _load(model, tensors, f"{path} ({header['model']})")
    known = _metadata(header)
    return {k: v for k, v in known.items() if not (new_head and (k == "class_names" or k.startswith("val_")))}


def unwrap(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a published checkpoint, without its nesting and DDP's prefix.

    *Raises*: CheckpointError for anything else, a path included.
    """
    if not isinstance(checkpoint, Mapping):
        raise CheckpointError(
            f"The checkpoint is a {type(checkpoint).__name__}; a state_dict, or a mapping with one under 'state_dict' "
            "or 'model', is taken. Read a file first: torch.load(path, weights_only=True)."
        )
    for key in ("state_dict", "model"):
        inner = checkpoint.get(key)
        if isinstance(inner, Mapping):
            checkpoint = inner
            break
    tensors = {
        key.removeprefix("module."): value for key, value in checkpoint.items() if isinstance(value, Tensor)
    }
    if not tensors:
        raise CheckpointError(
            f"The checkpoint holds no tensors (its keys: {_some(checkpoint) or 'none'}); a state_dict, or a mapping "
            "with one under 'state_dict' or 'model', is taken. Pass that part of the file."
        )
    return tensors


def load_reference(model: SpikingModel, tensors: Mapping[str, Tensor], dead: Sequence[str]) -> None:
    """Fill `model` from a published checkpoint in our names; parts named in `dead` may be left over."""
    own = model.state_dict()
    kept = {k: v for k, v in tensors.items() if k in own or not any(part in k for part in dead)}
    _load(model, kept, "The published checkpoint")


def _rounded(tensors: Mapping[str, Tensor], bits: int) -> dict[str, Tensor]:
    kept: dict[str, Tensor] = {}
    for key, value in tensors.items():
        if bits == 8 and value.dim() > 1 and value.is_floating_point():
            scale = (value.abs().flatten(1).amax(1) / 127).clamp(min=torch.finfo(torch.float16).tiny)
            kept[key] = (value / _as_rows(scale, value)).round().to(torch.int8)
            kept[key + _SCALE] = scale.float()
        else:
            kept[key] = value.half() if value.is_floating_point() else value
    return kept


def _restored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        key: value * _as_rows(tensors[key + _SCALE], value) if key + _SCALE in tensors else value
        for key, value in tensors.items()
        if not key.endswith(_SCALE)
    }


def _as_rows(scale: Tensor, value: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (value.dim() - 1))


def _metadata(header: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in header.items() if key not in ("format", "fused")}


def _read(path: str | PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not Path(path).is_file():
        raise CheckpointError(
            f"There is no checkpoint at {path}; load takes a file of save_model. Check the path."
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("spikedrive", "null"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({error}); it is truncated or no .safetensors file. "
            "Take the last good one, or write it again with save_model."
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is a safetensors file without the {FORMAT!r} header; load takes files of save_model. "
            "For published weights use from_reference."
        )
    return header, _restored(tensors)


def _load(model: SpikingModel, tensors: Mapping[str, Tensor], what: str) -> None:
    own = model.state_dict()
    missing, surplus = [k for k in own if k not in tensors], [k for k in tensors if k not in own]
    shapes = [
        f"{k} is {tuple(tensors[k].shape)}, not {tuple(own[k].shape)}"
        for k in own
        if k in tensors and tensors[k].shape != own[k].shape
    ]
    if missing or surplus or shapes:
        faults = [
            f"{label}: {_some(keys)}"
            for label, keys in (("missing", missing), ("left over", surplus), ("of another shape", shapes))
            if keys
        ]
        raise CheckpointError(
            f"{what} does not fit the model {model.card.name if model.card else type(model).__name__}: "
            f"{'; '.join(faults)}. Build the model with the arguments that the checkpoint was trained with."
        )
    model.load_state_dict(tensors)


def _some(keys: Iterable[str], count: int = 4) -> str:
    keys = list(keys)
    more = f" and {len(keys) - count} more" if len(keys) > count else ""
    return ", ".join(str(key) for key in keys[:count]) + more
