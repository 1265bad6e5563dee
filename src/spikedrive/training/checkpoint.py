"""What a killed run goes on from, and the weights that come out of one."""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.blocks import SpikingModel
from spikedrive.errors import CheckpointError
from spikedrive.files import atomic_write
from spikedrive.models import create_model, save_model

FORMAT = "spikedrive-state-1"


@dataclass
class Place:
    """Where a run stands; all of it goes into the checkpoint. Epochs and steps count what is done."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    best_accuracy: float = -1.0
    best_epoch: int = 0
    best_loss: float = math.inf
    best_figures: dict[str, float] = field(default_factory=dict)
    """What else was measured where the best weights were."""
    seconds: float = 0.0
    firing_rate: float | None = None
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0, 0.0])
    """Of this epoch so far: loss, right answers and images of all processes, seconds."""


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write everything that resuming needs, whole or not at all.

    *Raises*: StorageError; the previous file is untouched.
    """
    # through memory: torch reports a full disk as a RuntimeError of its zip writer
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    with atomic_write(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load_state(path: Path) -> dict[str, Any]:
    """What `save_state` wrote, on the CPU.

    *Raises*: CheckpointError for a damaged file or one of another format.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({str(error).splitlines()[0]}); it holds what train saved. "
            "Start over with resume=False, or from the weights beside it."
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is no {FORMAT!r} file; train writes one there. Start over with resume=False, or from the weights "
            "beside it."
        )
    return state


def model_state(model: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights on the CPU, whole on the first process; every process calls it."""
    if is_sharded(model):
        sharded, options = _sharded()
        # what lies on the CPU already, buffers for example, comes back uncopied
        return {
            name: tensor.clone()
            for name, tensor in sharded.get_model_state_dict(model, options=options).items()
        }
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def load_model_state(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Put whole weights into a model, sharded or not."""
    if is_sharded(model):
        sharded, options = _sharded()
        sharded.set_model_state_dict(model, state, options=options)
    else:
        model.load_state_dict(state)


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimizer's state on the CPU, whole on the first process; every process calls it."""
    if is_sharded(model):
        sharded, options = _sharded()
        return sharded.get_optimizer_state_dict(model, optimizer, options=options)
    return optimizer.state_dict()


def load_optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Put a whole optimizer state back."""
    if is_sharded(model):
        sharded, options = _sharded()
        sharded.set_optimizer_state_dict(model, optimizer, state, options=options)
    else:
        optimizer.load_state_dict(state)


def is_sharded(model: nn.Module) -> bool:
    """Whether the parameters lie in parts on several processes (FSDP2)."""
    return any(hasattr(p, "to_local") for p in model.parameters())


def save_weights(
    model: SpikingModel, state: dict[str, Tensor], paths: Iterable[Path], metadata: Mapping[str, Any]
) -> None:
    """Write whole weights of `model` as files of `save_model`.

    *Raises*: StorageError; the previous files are untouched.
    """
    # a model of its own: the one in training may be sharded, and holds other weights than the average
    plain = create_model(model.card.name if model.card else "", **model.config)
    kind = next(tensor.dtype for tensor in state.values() if tensor.is_floating_point())
    plain.to(kind).load_state_dict(state)
    for path in paths:
        save_model(plain, path, metadata=metadata)


def _sharded() -> tuple[Any, Any]:
    from torch.distributed.checkpoint import state_dict

    return state_dict, state_dict.StateDictOptions(full_state_dict=True, cpu_offload=True)
