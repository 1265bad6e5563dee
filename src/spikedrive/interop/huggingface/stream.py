"""A folder too large to load, converted one decoder layer after another."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from spikedrive.errors import DataError, StorageError
from spikedrive.files import atomic_write
from spikedrive.interop.huggingface.load import existing_folder
from spikedrive.interop.huggingface.package import package
from spikedrive.training.spikellm import (
    AverageBits,
    Format,
    SpikingLinear,
    convert_language_model,
    linear_layers,
    observe,
)

LAYER = re.compile(r"^(?:.*\.)?(?:layers|h)\.(\d+)\.(.+)$")
REST, FORMAT = "rest.safetensors", "spikellm.json"
Progress = Callable[[int, int], None]


@torch.no_grad()
def convert_folder(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    tokens: Iterable[Tensor],
    form: Format,
    *,
    layers: int | None = None,
    progress: Progress | None = None,
) -> AverageBits:
    """Convert a Llama- or GPT-style folder into another, with one decoder layer in memory at a time.

    The layer's moments come from the layer itself, in real numbers, on what the layers before it make of `tokens` (each
    (B, L)), so that the result is that of `observe` and `convert_language_model` on the whole model. Memory holds
    embedding and head in fp32, one layer twice, the moments of that layer, and `tokens` times the width. `layers`
    stops after so many, for a trial.

    `target` gets `config.json`, `spikellm.json`, a file of codes for each layer, and `rest.safetensors` with what is no
    decoder layer.

    *Raises*: DataError for a folder of another layout; StorageError; MissingExtraError.
    """
    path, goal = existing_folder(source), Path(target)
    if goal.resolve() == path.resolve():
        raise StorageError(
            f"convert_folder got {path} as source and target; the target must be another. Name a folder to write."
        )
    shards = _Shards(path)
    model, template = _one_layer(path, shards)
    count = shards.layers if layers is None else min(layers, shards.layers)
    inputs = [_entering(model, template, batch) for batch in tokens]
    total: AverageBits | None = None
    goal.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path / "config.json", goal / "config.json")
    for number in range(count):
        layer = _Layer(copy.deepcopy(template))
        shards.fill(layer.layers[0], number)
        moments = observe(layer, inputs, blocks=layer.layers)
        # what the next layer reads
        inputs, layer.outputs = layer.outputs, []
        bits = convert_language_model(layer, moments, form)
        total = bits if total is None else total + bits
        with atomic_write(goal / _name(number)) as temporary:
            save_file({key: t.contiguous() for key, t in layer.layers[0].state_dict().items()}, temporary)
        if progress is not None:
            progress(number + 1, count)
    with atomic_write(goal / REST) as temporary:
        save_file(shards.rest(), temporary)
    with atomic_write(goal / FORMAT) as temporary:
        temporary.write_text(json.dumps({"layers": count, **asdict(form)}, indent=1), encoding="utf-8")
    assert total is not None
    return total


@torch.no_grad()
def load_converted(folder: str | os.PathLike[str]) -> nn.Module:
    """The model that `convert_folder` wrote, in eval mode; its linear layers stay codes in memory.

    *Raises*: DataError for a folder that `convert_folder` did not finish; MissingExtraError.
    """
    path = existing_folder(folder)
    if not (path / FORMAT).is_file():
        raise DataError(
            f"{path} holds no {FORMAT}; accepted is what convert_folder wrote to its end. Convert the folder again."
        )
    kept = json.loads((path / FORMAT).read_text(encoding="utf-8"))
    count, form = kept.pop("layers"), Format(**kept)
    model, template = _one_layer(path, _Shards(path, REST))
    names = [name for name, _ in linear_layers(template, nn.ModuleList([template]))]
    for name in names:
        _replace(template, name, nn.Identity())
    blocks = []
    for number in range(count):
        block, state = copy.deepcopy(template), load_file(path / _name(number))
        for name in names:
            own = {key.removeprefix(f"{name}."): t for key, t in state.items() if key.startswith(f"{name}.")}
            _replace(block, name, SpikingLinear.from_state(own, form))
        block.load_state_dict(state)
        for part in block.modules():
            # where a cache of keys and values keeps this layer's
            if hasattr(part, "layer_idx"):
                part.layer_idx = number  # type: ignore[assignment]
        blocks.append(block)
    held = _blocks_of(model)
    del held[0]
    held.extend(blocks)
    model.config.num_hidden_layers = count  # type: ignore[union-attr]
    return model.eval()


class _Layer(nn.Module):
    """One decoder layer, which keeps what it gives."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList([block])
        self.outputs: list[tuple[Tensor, dict[str, Any]]] = []

    def forward(self, entering: tuple[Tensor, dict[str, Any]]) -> None:
        hidden, more = entering
        found = self.layers[0](hidden, **more)
        # a layer gives a tensor, or a tuple that starts with it
        self.outputs.append((found if isinstance(found, Tensor) else found[0], more))


class _Shards:
    """The tensors of a folder by name, read one at a time."""

    def __init__(self, folder: Path, single: str = "model.safetensors") -> None:
        self.folder = folder
        index = folder / "model.safetensors.index.json"
        if index.is_file():
            self.file: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        elif (folder / single).is_file():
            with safe_open(folder / single, "pt") as file:
                self.file = dict.fromkeys(file.keys(), single)
        else:
            raise DataError(
                f"{folder} holds neither {single} nor {index.name}; weights in safetensors are accepted. Convert "
                "other files first, a .gguf file with save_dequantised."
            )
        self.inside: dict[int, dict[str, str]] = {}
        for name in self.file:
            found = LAYER.match(name)
            if found:
                self.inside.setdefault(int(found[1]), {})[found[2]] = name
        self.layers = len(self.inside)

    def read(self, name: str) -> Tensor:
        with safe_open(self.folder / self.file[name], "pt") as file:
            return file.get_tensor(name)

    def fill(self, block: nn.Module, number: int) -> None:
        """Copy the weights of one layer into a block."""
        names = self.inside.get(number, {})
        for key, place in block.state_dict().items():
            if key not in names:
                raise DataError(
                    f"{self.folder} holds no {key} of layer {number}; a {type(block).__name__} needs it. Check that "
                    "all files of the model are there, and that config.json is theirs."
                )
            place.copy_(self.read(names[key]))

    def rest(self) -> dict[str, Tensor]:
        """What is in no decoder layer."""
        return {name: self.read(name) for name in self.file if not LAYER.match(name)}


def _one_layer(path: Path, shards: _Shards) -> tuple[nn.Module, nn.Module]:
    """The model with its first decoder layer only, in fp32 and eval mode, and that layer."""
    transformers = package()
    config = transformers.AutoConfig.from_pretrained(path, local_files_only=True)
    config.num_hidden_layers = 1
    model: nn.Module = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    places, prefix = model.state_dict(), f"{model.base_model_prefix}."  # type: ignore[union-attr]
    filled = set()
    for name in shards.file:
        if not LAYER.match(name):
            key = name if name in places else prefix + name
            if key in places:
                places[key].copy_(shards.read(name))
                filled.add(places[key].data_ptr())
    missing = [key for key, t in places.items() if not LAYER.match(key) and t.data_ptr() not in filled]
    if missing:
        raise DataError(
            f"{path} holds no {missing[0]} ({len(missing)} missing); a {type(model).__name__} needs it. Check that "
            "all files of the model are there, and that config.json is theirs."
        )
    return model, _blocks_of(model)[0]


def _blocks_of(model: nn.Module) -> Any:
    (blocks,) = (part for part in model.modules() if isinstance(part, nn.ModuleList))
    return blocks


class _Reached(Exception):  # noqa: N818 - no error: the first layer was reached
    pass


def _entering(model: nn.Module, first: nn.Module, tokens: Tensor) -> tuple[Tensor, dict[str, Any]]:
    """What the first decoder layer is called with."""
    caught: list[tuple[Tensor, dict[str, Any]]] = []

    def catch(_: nn.Module, inputs: tuple[Any, ...], more: dict[str, Any]) -> None:
        caught.append((inputs[0], {key: v for key, v in more.items() if "past_key" not in key}))
        raise _Reached

    handle = first.register_forward_pre_hook(catch, with_kwargs=True)
    try:
        model(tokens, use_cache=False)
    except _Reached:
        pass
    finally:
        handle.remove()
    return caught[0]


def _replace(root: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(root.get_submodule(parent), leaf, part)


def _name(number: int) -> str:
    return f"layer_{number:03d}.safetensors"
