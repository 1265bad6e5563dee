"""What a word on the command line stands for: a model's name, a run's folder, a checkpoint, or a model to import."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikedrive.errors import CheckpointError, ConfigError, DataError, ShapeError, unknown_name

if TYPE_CHECKING:
    from torch import Tensor, nn

    from spikedrive.blocks import SpikingModel
    from spikedrive.data import ImageSet

BEST = Path("checkpoints") / "best.safetensors"
NEEDED = ("class_names", "mean", "std", "input_size")


def checkpoint_path(target: str) -> Path:
    """The checkpoint that a run's folder, a file name or MODEL.TAG of weights in this package stands for.

    *Raises*: DataError where there is none.
    """
    from spikedrive.models import find_pretrained, list_pretrained

    path = Path(target)
    if target in list_pretrained() and not path.exists():
        return find_pretrained(*target.split("."))
    if path.is_dir() and (path / BEST).is_file():
        return path / BEST
    if path.is_file():
        return path
    came = f"{target} is a folder without {BEST}" if path.is_dir() else f"There is no file or folder {target}"
    raise DataError(
        f"{came}; a run's folder or a .safetensors checkpoint is accepted, or weights of "
        "`spikedrive models --pretrained`. "
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
    learned = model.metadata.get("task", model.card.task if model.card else "classify")
    if absent and (learned != "classify" or "events" in model.metadata):
        what = (
            learned
            if learned != "classify"
            else f"clips ({model.metadata['events'].get('kind', 'two cameras')})"
        )
        raise CheckpointError(
            f"{target} is a model of {what}; a classifier of images or of event frames is accepted here. "
            "Name a run of one, or audit this one, which takes any model."
        )
    if absent:
        raise CheckpointError(
            f"{path} does not say its {', '.join(absent)}; checkpoints of `spikedrive train` do. "
            "Save it with save_model(..., metadata={...}) and these keys."
        )
    if model.metadata.get("task") == "masked":
        raise CheckpointError(
            f"{path} was pretrained without labels, so that its head knows no class; a model that was trained on "
            f"labels answers. Fine-tune it first: spikedrive train {model.metadata['model']} --data LABELLED "
            f"--weights {target}."
        )
    return model


def load_target(target: str, *, as_released: bool = False) -> SpikingModel:
    """A fresh model by name, its weights from a fixed seed, or the trained one of a run or checkpoint; in eval mode.

    *Raises*: UnknownNameError, DataError, CheckpointError.
    """
    from spikedrive.models import create_model, list_models, list_pretrained, load_model

    names = list_models()
    if target in names:
        with _fixed_seed():
            return create_model(target, as_released=as_released).eval()
    known = target in list_pretrained()
    if known or Path(target).exists() or "/" in target or target.endswith(".safetensors"):
        return load_model(checkpoint_path(target))
    raise unknown_name("model, run or checkpoint", target, names)


def is_imported(target: str) -> bool:
    """Whether a target reads `package.module:attribute` and is no file."""
    return ":" in target and not Path(target).exists()


def load_imported(target: str) -> nn.Module:
    """The module that `package.module:attribute` is or, called without arguments, gives; in eval mode.

    The current folder is searched too, as `python -m` does. Weights that are drawn come from a fixed seed.

    *Raises*: ConfigError, UnknownNameError.
    """
    from torch import nn

    name, _, attribute = target.partition(":")
    if not all(part.isidentifier() for part in (*name.split("."), *attribute.split("."))):
        raise ConfigError(
            f"{target!r} is no package.module:attribute; such a target names a torch.nn.Module, or what gives one "
            "without arguments. Write it as in mypackage.models:build."
        )
    with _fixed_seed():
        found = _found(target, name, attribute)
    if not isinstance(found, nn.Module):
        raise ConfigError(
            f"{target} is of type {type(found).__name__}; a torch.nn.Module, or a callable that gives one, is "
            "accepted. Name one of these."
        )
    return found.eval()


@contextmanager
def _fixed_seed() -> Iterator[None]:
    """The same weights at every call, so that a certificate of a fresh model holds; the global state stays."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _found(target: str, name: str, attribute: str) -> Any:
    """What the target names, called where it is no module."""
    from torch import nn

    found = _imported(name)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise unknown_name(f"attribute of {name}", part, [n for n in dir(found) if n[:1] != "_"])
        found = getattr(found, part)
    if not isinstance(found, nn.Module) and callable(found):
        try:
            found = found()
        except Exception as error:
            raise ConfigError(
                f"{target}() raised {type(error).__name__}: {error}; a target is called without arguments. Give it "
                "defaults, or name a function that needs none (--debug shows the traceback)."
            ) from error
    return found


def _imported(name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except Exception as error:
        # a module that is there may miss another one
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"There is no module {error.name!r}; one that Python finds from {here} is accepted. Correct the name, "
                "install the package, or start where it lies."
            ) from error
        raise ConfigError(
            f"Importing {name} raised {type(error).__name__}: {error}; a module that imports is accepted. Mend it "
            "(--debug shows the traceback)."
        ) from error


DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "bool")


def example_inputs(shapes: Sequence[str]) -> tuple[Tensor, ...]:
    """An input for each `1,3,32,32` or `1,16:int64`: random numbers from a fixed seed, zeros where not floating.

    *Raises*: ShapeError for a shape that cannot be read; UnknownNameError for a type.
    """
    import torch

    if not shapes:
        raise ShapeError(
            "No example was given; a model of others needs the shape of an input. Add --example, as in "
            "--example 1,3,32,32."
        )
    generator, inputs = torch.Generator().manual_seed(0), []
    for text in shapes:
        sizes, _, name = text.partition(":")
        if not all(size.strip().isdecimal() for size in sizes.split(",")):
            raise ShapeError(
                f"--example {text} is no shape; sizes with commas between are accepted, and a type after a colon. "
                "Write it as 1,3,32,32 or 1,16:int64."
            )
        if name and name not in DTYPES:
            raise unknown_name("type of an example", name, DTYPES)
        shape, dtype = [int(size) for size in sizes.split(",")], getattr(torch, name or "float32")
        random = dtype.is_floating_point
        inputs.append(
            torch.randn(shape, generator=generator).to(dtype) if random else torch.zeros(shape, dtype=dtype)
        )
    return tuple(inputs)


def check_takes(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Run the model once.

    *Raises*: ShapeError where it does not take these inputs.
    """
    import torch

    try:
        with torch.no_grad():
            model(*inputs)
    except Exception as error:
        shapes = " and ".join(str(tuple(x.shape)) for x in inputs)
        raise ShapeError(
            f"{type(model).__name__} does not take an example of shape {shapes} ({type(error).__name__}: {error}); "
            "inputs that it runs on are accepted. Change --example, one for each input."
        ) from error


def input_size(model: SpikingModel) -> tuple[int, int, int]:
    """(C, H, W) that a model was trained on, or that its card declares."""
    channels, height, width = model.metadata.get("input_size") or (
        model.card.input_size if model.card else (1, 1, 1)
    )
    return channels, height, width


def example_input(model: SpikingModel) -> Tensor:
    """One random input from a fixed seed.

    *Shapes*: (1, C, H, W) for images, (T, 1, C, H, W) for frames, one token (1, 1) of a text,
    (1, N, D) for points.
    """
    import torch

    from spikedrive.transforms.examples import example_ids, example_of

    if model.input == "tokens":
        return example_ids(model, 1)
    if model.input == "points":
        return example_of("example_input", model, None)[0]
    lead = (1,) if model.input == "image" else (model.steps, 1)
    return torch.randn(*lead, *input_size(model), generator=torch.Generator().manual_seed(0))


def images_for(model: SpikingModel, data: str, split: str) -> ImageSet:
    """Labelled images in the size that a model takes."""
    from spikedrive.data import load_images

    channels, height, width = input_size(model)
    return load_images(data, split, size=(height, width), channels=channels)


def judged_images(model: SpikingModel, data: str, split: str) -> ImageSet:
    """Labelled images in the size that a model takes, whose labels count the classes that it learned.

    Names that are numbers name nothing, so that they go with any others.

    *Raises*: ConfigError for other classes, whose labels would say something else.
    """
    images = images_for(model, data, split)
    learned = model.metadata.get("class_names") or ()
    if (
        not (_are_numbers(images.class_names) or _are_numbers(learned))
        or len(images.class_names) > model.classes
    ):
        check_classes(data, images.class_names, learned)
    return images


def _are_numbers(names: Sequence[str]) -> bool:
    return list(names) == [str(k) for k in range(len(names))]


def check_classes(data: str, names: Sequence[str], learned: Sequence[str]) -> None:
    """Raise ConfigError unless data have the classes that a model learned, in its order."""
    if list(names) != list(learned):
        raise ConfigError(
            f"{data} has the classes {', '.join(names)}, and the model learned {', '.join(learned)}; both have the "
            "same. Evaluate on data of its classes."
        )


def normalised_images(model: SpikingModel, data: str, split: str, count: int) -> Tensor:
    """`count` images of a split as the model takes them, spread over the set, which may be sorted by class.

    *Shapes*: (count, C, H, W).
    """
    from spikedrive.data.transforms import normalise

    images = images_for(model, data, split)
    known = model.metadata
    mean, std = (known["mean"], known["std"]) if "mean" in known else images.statistics()
    return normalise(images.images[:: max(1, len(images) // count)][:count], mean, std)


def sensor_size(text: str | None) -> tuple[int, int] | None:
    """(width, height) of `640x480`, None of None.

    *Raises*: ConfigError for anything else.
    """
    if text is None:
        return None
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise ConfigError(f"--size {text} is no size; WIDTHxHEIGHT is taken. Write it as in 640x480.")
    return int(width), int(height)
