"""A teacher: a checkpoint of ours, or any PyTorch classifier in a file."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export.passes import move_to_device_pass

from spikedrive.errors import CheckpointError, ConfigError
from spikedrive.files import atomic_write
from spikedrive.models import load_model
from spikedrive.training.prepare import Images
from spikedrive.training.recipe import Recipe

SUFFIX = ".pt2"
_FACTS = "spikedrive-teacher.json"


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained model that answers the student's batches.

    *Equation*: the student's x = (p - mean) / std becomes the teacher's (p - mean') / std' = gain x + shift.
    """

    model: Callable[[Tensor], Tensor]
    gain: Tensor
    shift: Tensor

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Its logits (B, K) for the student's input."""
        return self.model(torch.addcmul(self.shift.to(x), x, self.gain.to(x)))


def save_teacher(
    model: nn.Module, path: str | os.PathLike[str], *, class_names: Sequence[str], mean: Sequence[float],
    std: Sequence[float], input_size: tuple[int, int, int],
) -> None:  # fmt: skip
    """Write any classifier as a file that a recipe's `teacher` takes, exported in eval mode for any batch.

    `mean` and `std` are of the pixels divided by 255 that it was trained on, one a channel; `class_names` are those
    of the student's images, in the order of its logits.

    *Shapes*: the model maps (B, C, H, W), (C, H, W) = `input_size`, to (B, K), K = len(class_names).
    *Raises*: ConfigError for another suffix than .pt2, or for a model with other channels or another number of
    classes; what `torch.export` raises for a model that it cannot trace; StorageError.
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise ConfigError(f"save_teacher got the path {path}; it writes files named *{SUFFIX}. Rename it.")
    # two samples: an exported batch of one would be a constant
    x = torch.zeros(2, *input_size, dtype=next((p.dtype for p in model.parameters()), torch.float32))
    training = model.training
    try:
        model.eval()
        with torch.no_grad():
            shape = tuple(model(x).shape)
            if shape != (2, len(class_names)) or not len(mean) == len(std) == input_size[0]:
                raise ConfigError(
                    f"save_teacher got a model with logits of shape {shape} for a batch of 2, {len(class_names)} class "
                    f"names, and means of {len(mean)} and deviations of {len(std)} channels for {input_size[0]}; it "
                    "takes (B, K) with a name for each of K, and one mean and deviation a channel. Correct them."
                )
            program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    finally:
        model.train(training)
    facts = {
        "class_names": list(class_names), "mean": list(mean), "std": list(std), "input_size": list(input_size),
    }  # fmt: skip
    # through memory, as torch writes to paths of its own suffix alone
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={_FACTS: json.dumps(facts)})
    with atomic_write(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def prepare_teacher(recipe: Recipe, images: Images, device: torch.device) -> Teacher | None:
    """The recipe's teacher in eval mode, or None.

    *Raises*: CheckpointError for a file that cannot be read, or where it knows other classes or another input.
    """
    if recipe.teacher is None:
        return None
    model, known = _load(recipe.teacher, device)
    names, own = tuple(known.get("class_names", ())), images.train.class_names
    if names != own or len(known.get("mean", ())) != len(images.mean):
        raise CheckpointError(
            f"The teacher {recipe.teacher} knows {len(names)} classes ({', '.join(names[:3])}, ...) on "
            f"{len(known.get('mean', ()))} channels; these images have {len(own)} ({', '.join(own[:3])}, ...) on "
            f"{len(images.mean)}. Take a teacher that was trained on the same classes."
        )
    mean, std = torch.tensor(images.mean), torch.tensor(images.std)
    mean_there, std_there = torch.tensor(known["mean"]), torch.tensor(known["std"])
    gain, shift = std / std_there, (mean - mean_there) / std_there
    return Teacher(model, gain.view(-1, 1, 1), shift.view(-1, 1, 1))


def _load(path: str, device: torch.device) -> tuple[Callable[[Tensor], Tensor], Mapping[str, Any]]:
    if Path(path).suffix != SUFFIX:
        model = load_model(path)
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        return model.to(device), model.metadata
    found = {_FACTS: ""}
    try:
        program = torch.export.load(path, extra_files=found)
        facts = json.loads(found[_FACTS])
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(
            f"The teacher {path} cannot be read ({str(error).splitlines()[0]}); a checkpoint of this library or a file "
            "of training.distill.save_teacher is accepted. Write it again."
        ) from error
    return move_to_device_pass(program, device).module(), facts
