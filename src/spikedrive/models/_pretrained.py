"""The trained weights that come with the package, and the cards that say what was measured of them.

A file is called `MODEL.TAG.safetensors`, its card `MODEL.TAG.json`; `benchmarks/write_cards.py` writes both.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from spikedrive.errors import CheckpointError, ConfigError, unknown_name

FOLDER = Path(__file__).parent / "pretrained"


def list_pretrained(figure: str | None = None) -> list[str]:
    """The weights that come with the package, each as MODEL.TAG.

    `figure` keeps those whose card has it: `accuracy` of classifiers, `bits_per_byte` of language models.

    >>> "meta_spikeformer_nano.fashion" in list_pretrained()
    True
    """
    return sorted(
        f"{model}.{tag}"
        for model, cards in _cards().items()
        for tag, card in cards.items()
        if figure is None or figure in card
    )


def read_cards(model: str) -> dict[str, dict[str, Any]]:
    """The cards of a model's weights by tag; none for most models."""
    return _cards().get(model, {})


def find_pretrained(model: str, tag: str) -> Path:
    """The file of a model's weights, after its hash was checked.

    *Raises*: ConfigError for a model without weights; UnknownNameError for another tag; CheckpointError for a file that
    is missing or not the one that its card was measured with.
    """
    cards = read_cards(model)
    if not cards:
        raise ConfigError(
            f"{model} has no weights in this package; {', '.join(list_pretrained()) or 'none of its models'} have. "
            "Leave pretrained out, or take one of them."
        )
    if tag not in cards:
        raise unknown_name(f"tag of weights for {model}", str(tag), list(cards))
    path = FOLDER / f"{model}.{tag}.safetensors"
    if not path.is_file():
        raise CheckpointError(
            f"There is no {path}, which the card of {model}.{tag} is about. Install spikedrive again."
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != cards[tag]["sha256"]:
        raise CheckpointError(
            f"{path} has the SHA-256 {found}; its card says {cards[tag]['sha256']}. Install spikedrive again."
        )
    return path


@cache
def _cards() -> dict[str, dict[str, dict[str, Any]]]:
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted(FOLDER.glob("*.json")):
        model, tag = path.stem.split(".")
        found.setdefault(model, {})[tag] = json.loads(path.read_text(encoding="utf-8"))
    return found
