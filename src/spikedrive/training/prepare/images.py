"""From a recipe to images, a classifier and the batches of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spikedrive.blocks import SpikingModel
from spikedrive.data import ImageSet, batches, count_batches, generator, load_images, transforms
from spikedrive.data.size import Size, height_width
from spikedrive.data.transforms import normalise
from spikedrive.errors import CheckpointError, ConfigError, DataError, unknown_name
from spikedrive.models import create_model, get_card, load_model, load_weights
from spikedrive.training.prepare.part import AUGMENT, MODEL, ORDER, SPLIT, WEIGHTS, Part, seed_of
from spikedrive.training.recipe import Recipe

Mix = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Images:
    """The training images, divided; `mean` and `std` are of pixels divided by 255, one a channel.

    Training images may be larger than the model's, where the augmentation cuts its rectangles out of them.
    """

    train: ImageSet
    validation: ImageSet
    mean: list[float]
    std: list[float]

    @property
    def facts(self) -> dict[str, Any]:
        """What a resumed run must find again."""
        return {
            "train": len(self.train),
            "validation": len(self.validation),
            "class_names": list(self.train.class_names),
            "shape": list(self.validation.shape),
        }

    @property
    def metadata(self) -> dict[str, Any]:
        """What a checkpoint says about them."""
        return {
            "class_names": list(self.train.class_names),
            "mean": self.mean,
            "std": self.std,
            "input_size": list(self.validation.shape),
        }

    @property
    def counts(self) -> dict[str, int]:
        """How many there are."""
        return {"train_images": len(self.train), "val_images": len(self.validation)}


def prepare_images(recipe: Recipe) -> Images:
    """The recipe's training split, divided into training and validation images; no test image is opened.

    Mean and deviation are those of the checkpoint in `weights`, which learned with them, or of the images.

    *Raises*: DataError for a source that cannot be read or is too small; CheckpointError, UnknownNameError.
    """
    card = get_card(recipe.model)
    known = _given(recipe).metadata if recipe.weights else {}
    if card.input == "tokens":
        raise ConfigError(
            f"{recipe.model} takes tokens of text, and the task {recipe.task.get('name')!r} learns from images; a "
            "model of tokens learns the task lm. Set --task lm, or task.name=lm."
        )
    if card.input == "points":
        raise ConfigError(
            f"{recipe.model} takes sets of points (B, N, D), and the task {recipe.task.get('name')!r} learns from "
            "images; a loop of your own over ops.events.points trains it. Choose a model of images."
        )
    if recipe.model_args.get("input", card.input) != "image":
        raise ConfigError(
            f"{recipe.model} takes sequences (T, B, C, H, W), and training reads single images here. "
            "Choose a model whose card says input='image', or set model_args.input=image."
        )
    channels, height, width = card.input_size
    size = recipe.image_size or (height, width)
    channels = recipe.model_args.get("in_channels", channels)
    source = _size_before_crops(recipe, size)
    whole = load_images(recipe.data, "train", size=source, channels=channels)
    if len(whole.class_names) < 2 and recipe.task.get("name") != "masked":
        raise DataError(
            f"{recipe.data} has {len(whole.class_names)} class; a classifier takes at least two. "
            "Put the images into one folder a class."
        )
    train, validation = whole.split(recipe.val_fraction, seed=seed_of(recipe, SPLIT))
    if source != size:
        same = load_images(recipe.data, "train", size=size, channels=channels)
        validation = same.split(recipe.val_fraction, seed=seed_of(recipe, SPLIT))[1]
    if not len(validation) or len(train) < recipe.batch_size:
        raise DataError(
            f"{recipe.data} gives {len(train)} training and {len(validation)} validation images; a step takes "
            f"batch_size={recipe.batch_size} and the choice of a checkpoint at least one. "
            f"Add images, or set batch_size={max(1, len(train))} or less."
        )
    if len(known.get("mean", ())) == len(known.get("std", ())) == channels:
        return Images(train, validation, list(known["mean"]), list(known["std"]))
    return Images(train, validation, *train.statistics())


def _size_before_crops(recipe: Recipe, size: Size) -> Size:
    """The size at which training images are loaded: the model's, or what rectangles are cut from."""
    crop = recipe.augment.get("RandomResizedCrop", {})
    wanted = crop.get("size")
    if wanted is not None and (wanted, wanted) != height_width(size):
        raise ConfigError(
            f"augment.RandomResizedCrop gives images of {wanted} x {wanted}, and the model gets {size}; both take one "
            f"size. Set image_size={wanted}, or augment.RandomResizedCrop.size."
        )
    return crop.get("source") or size


def prepare_model(recipe: Recipe, images: Images) -> tuple[SpikingModel, list[str]]:
    """The model with its first weights, and what the user should know about it.

    *Raises*: CheckpointError where `weights` belongs to another model; ConfigError for model_args.
    """
    classes = len(images.train.class_names)
    arguments = {**recipe.model_args, "classes": classes}
    if recipe.teacher is not None:
        arguments.setdefault("distilled", True)
    torch.manual_seed(seed_of(recipe, WEIGHTS))
    model = create_model(recipe.model, **arguments)
    notes = []
    if recipe.weights is not None:
        given = _given(recipe)
        theirs = tuple(given.metadata.get("class_names", ()))
        untrained = given.metadata.get("task") == "masked"
        fresh = untrained or theirs != images.train.class_names
        load_weights(model, recipe.weights, new_head=fresh)
        if untrained:
            notes.append(f"{recipe.weights} was pretrained without labels; its head starts anew.")
        elif fresh:
            notes.append(
                f"{recipe.weights} was trained for {given.classes} classes"
                f"{'' if len(theirs) != classes else ' of other names'}; the head for these {classes} starts anew."
            )
    # FSDP2 takes contiguous parameters only; the images are channels-last all the same
    if recipe.strategy != "fsdp":
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return model, notes


class Batches:
    """The optimizer steps of an epoch as a pure function of (recipe, epoch, step).

    A step of `batch_size` images is shared by `world` processes, each computes its share in `accumulate`
    parts, and every part is augmented in one or more shards, each with random numbers of its own address.
    """

    def __init__(
        self, recipe: Recipe, images: Images, *, device: torch.device, rank: int = 0, world: int = 1
    ) -> None:
        self._recipe, self._images, self._device = recipe, images, device
        self._rank, self._world = rank, world
        parts = world * recipe.accumulate
        shards = recipe.shards or parts
        if shards % parts or recipe.batch_size % shards:
            raise ConfigError(
                f"batch_size={recipe.batch_size} on {world} processes x accumulate={recipe.accumulate} in {shards} "
                "shards comes out unevenly; shards is a multiple of processes x accumulate, and batch_size one of "
                f"shards. Set batch_size={max(1, recipe.batch_size // shards) * shards}, or change shards."
            )
        self._shards_a_part = shards // parts
        self._classes = len(images.train.class_names)
        self._augment = _augmentation(recipe)
        self._mix = _mixing(recipe)
        self.steps = count_batches(len(images.train), recipe.batch_size, drop_last=True)
        """Optimizer steps in an epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[list[Part]]:
        """This process's parts of every step from `start` on; epochs and steps count from 0."""
        recipe = self._recipe
        own = batches(
            self._images.train,
            recipe.batch_size // self._world,
            seed=seed_of(recipe, ORDER),
            epoch=epoch,
            shuffle=True,
            rank=self._rank,
            world=self._world,
            drop_last=True,
            start_batch=start,
        )
        for step, (_, pixels, labels) in enumerate(own, start):
            pixels = pixels.to(self._device, non_blocking=True)
            labels = labels.to(self._device, non_blocking=True)
            pairs = zip(pixels.chunk(recipe.accumulate), labels.chunk(recipe.accumulate), strict=True)
            yield [
                self._part(epoch, step, self._rank * recipe.accumulate + k, *pair)
                for k, pair in enumerate(pairs)
            ]

    def _part(self, epoch: int, step: int, part: int, pixels: Tensor, labels: Tensor) -> Part:
        recipe, count = self._recipe, self._shards_a_part
        xs, targets = [], []
        for k, (image, label) in enumerate(zip(pixels.chunk(count), labels.chunk(count), strict=True)):
            source = generator(recipe.seed, AUGMENT, epoch, step, part * count + k)
            x = normalise(self._augment(image, source), self._images.mean, self._images.std)
            if self._mix is not None and not 0 < recipe.mix_epochs <= epoch:
                x, label = self._mix(x, transforms.one_hot(label, self._classes), source)
            xs.append(x)
            targets.append(label)
        x = xs[0] if count == 1 else torch.cat(xs)
        x = x.contiguous(memory_format=torch.channels_last)
        seed = seed_of(recipe, MODEL, epoch, step, part)
        return Part(x, targets[0] if count == 1 else torch.cat(targets), seed, len(x))


def _given(recipe: Recipe) -> SpikingModel:
    """The model in `weights`, which is of the recipe's kind."""
    assert recipe.weights is not None
    given = load_model(recipe.weights)
    name = given.card.name if given.card else type(given).__name__
    if name != recipe.model:
        raise CheckpointError(
            f"weights={recipe.weights} holds a {name}, and the recipe trains a {recipe.model}; weights of the same "
            f"model are accepted. Train {name}, or choose another checkpoint."
        )
    return given


def _augmentation(recipe: Recipe) -> transforms.Compose:
    others = ("Compose", "Mixup", "CutMix", "OneOf")
    known = [name for name in transforms.__all__ if name[0].isupper() and name not in others]
    return transforms.Compose(
        [_named(name, given, known, "augment") for name, given in recipe.augment.items()]
    )


def _mixing(recipe: Recipe) -> Mix | None:
    kinds = [_named(name, arguments, ("Mixup", "CutMix"), "mix") for name, arguments in recipe.mix.items()]
    return transforms.OneOf(kinds) if len(kinds) > 1 else (kinds[0] if kinds else None)


def _named(name: str, arguments: dict[str, Any], known: Sequence[str], key: str) -> Any:
    if name not in known:
        raise unknown_name("transform", name, known)
    try:
        return getattr(transforms, name)(**arguments)
    except TypeError as error:
        raise ConfigError(
            f"{key}.{name} got {arguments}, which it does not take ({error}). Correct {key}.{name}."
        ) from error
