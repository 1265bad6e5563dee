"""A language model from a folder, in real numbers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from spikedrive.errors import DataError
from spikedrive.files import atomic_write
from spikedrive.interop.huggingface.package import package


def load_language_model(folder: str | os.PathLike[str], *, gguf: str | None = None) -> nn.Module:
    """The causal language model of a folder, in fp32 and eval mode; nothing is fetched.

    `gguf` names a file of ggml's format in the folder, whose few-bit weights are dequantised: what it holds is then
    the reference, not the model that it was made of.

    *Raises*: DataError for a folder or file that transformers cannot read; MissingExtraError.
    """
    path = existing_folder(folder)
    transformers = package()
    if gguf is not None and not (path / gguf).is_file():
        found = ", ".join(sorted(p.name for p in path.glob("*.gguf"))) or "none"
        raise DataError(f"{path} holds no {gguf}; its .gguf files: {found}. Name one of these.")
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            path, gguf_file=gguf, dtype=torch.float32, local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path} cannot be read as a causal language model ({error}); accepted is a folder of Hugging Face's "
            "layout, with config.json and safetensors, or one with a .gguf file that is named. Check the folder."
        ) from error
    return model.eval()


def save_dequantised(model: nn.Module, folder: str | os.PathLike[str]) -> Path:
    """Write the model's real numbers as `model.safetensors` beside a `config.json` that says nothing of quantisation.

    A model that came from a .gguf file loads in a second from then on; transformers itself does not save it.

    *Raises*: StorageError.
    """
    path = Path(folder)
    config: dict[str, Any] = model.config.to_dict()  # type: ignore[union-attr,operator]
    config.pop("quantization_config", None)
    config["architectures"] = [type(model).__name__]
    tied = {name for name, _ in model.named_parameters()}
    # named_parameters names a tied head once
    tensors = {
        name: tensor.detach().contiguous() for name, tensor in model.state_dict().items() if name in tied
    }
    with atomic_write(path / "model.safetensors") as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    with atomic_write(path / "config.json") as temporary:
        temporary.write_text(json.dumps(config, indent=1), encoding="utf-8")
    return path


def existing_folder(folder: str | os.PathLike[str]) -> Path:
    """The path of a folder that is there.

    Raises: DataError.
    """
    path = Path(folder)
    if not path.is_dir():
        what = "is no folder" if path.exists() else "does not exist"
        raise DataError(f"{path} {what}; accepted is a folder of Hugging Face's layout. Check the path.")
    return path
