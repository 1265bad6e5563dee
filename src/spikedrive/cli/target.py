"""What a word on the command line stands for: a model's name, a run's folder or a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spikedrive.errors import CheckpointError, DataError, unknown_name

if TYPE_CHECKING:
    from torch import Tensor

    from spikedrive.blocks import SpikingModel
    from spikedrive.data import ImageSet

BEST = Path("checkpoints") / "best.safetensors"
NEEDED = ("class_names", "mean", "std", "input_size")


def checkpoint_path(target: str) -> Path:
    """The checkpoint that a run's folder or a file name stands for.

    *Raises*: DataError where there is none.
    """
    path = Path(target)
    if path.is_dir() and (path / BEST).is_file():
        return path / BEST
    if path.is_file():
        return path
    came = f"{target} is a folder without {BEST}" if path.is_dir() else f"There is no file or folder {target}"
    raise DataError(
        f"{came}; a run's folder or a .safetensors checkpoint is accepted. "
        "Make one with `spikedrive train`; its first checkpoint stands there after the first epoch."
    )


def load_trained(target: str) -> SpikingModel:
    """The trained model of a run or checkpoint, in eval mode, with what it was trained on in its metadata.

    *Raises*: DataError, CheckpointError.
    """
    from spikedrive.models import load_model

    path = checkpoint_path(target)
    model = load_model(path)
    absent = [key for key in NEEDED if key not in model.metadata]
    if absent:
        raise CheckpointError(
            f"{path} does not say its {', '.join(absent)}; checkpoints of `spikedrive train` do. "
            "Save it with save_model(..., metadata={...}) and these keys."
        )
    return model


def load_target(target: str, *, as_released: bool = False) -> SpikingModel:
    """A fresh model by name, or the trained one of a run or checkpoint; in eval mode.

    *Raises*: UnknownNameError, DataError, CheckpointError.
    """
    from spikedrive.models import create_model, list_models, load_model

    names = list_models()
    if target in names:
        return create_model(target, as_released=as_released).eval()
    if Path(target).exists() or "/" in target or target.endswith(".safetensors"):
        return load_model(checkpoint_path(target))
    raise unknown_name("model, run or checkpoint", target, names)


def input_size(model: SpikingModel) -> tuple[int, int, int]:
    """(C, H, W) that a model was trained on, or that its card declares."""
    channels, height, width = model.metadata.get("input_size") or (
        model.card.input_size if model.card else (1, 1, 1)
    )
    return channels, height, width


def example_input(model: SpikingModel) -> Tensor:
    """One random input from a fixed seed.

    *Shapes*: (1, C, H, W) for images, (T, 1, C, H, W) for frames.
    """
    import torch

    lead = (1,) if model.input == "image" else (model.steps, 1)
    return torch.randn(*lead, *input_size(model), generator=torch.Generator().manual_seed(0))


def images_for(model: SpikingModel, data: str, split: str) -> ImageSet:
    """Labelled images in the size that a model takes."""
    from spikedrive.data import load_images

    channels, height, width = input_size(model)
    return load_images(data, split, size=(height, width), channels=channels)


def normalised_images(model: SpikingModel, data: str, split: str, count: int) -> Tensor:
    """`count` images of a split as the model takes them, spread over the set, which may be sorted by class.

    *Shapes*: (count, C, H, W).
    """
    from spikedrive.data.transforms import normalise

    images = images_for(model, data, split)
    known = model.metadata
    mean, std = (known["mean"], known["std"]) if "mean" in known else images.statistics()
    return normalise(images.images[:: max(1, len(images) // count)][:count], mean, std)
