"""Recipes for texts with labels."""

from __future__ import annotations

import os

from spikedrive.recipes._registry import RECIPES
from spikedrive.training import Recipe


def labelled_texts(model: str, data: str | os.PathLike[str]) -> Recipe:
    """A classifier of texts on any source of `data.text.load_labelled`; the settings are a start and no published
    figure.

    *Command*: `spikedrive train MODEL --data FOLDER task.encoder=FOLDER_OF_A_BERT`; without an encoder it starts from
    nothing, on bytes.
    *Raises*: nothing here; `train` says what is wrong with the model or the texts.
    """
    return Recipe(
        model=model,
        data=os.fspath(data),
        task={"name": "text_classification", "context": 128},
        epochs=3,
        batch_size=16,
        lr=2e-4,
        warmup_epochs=0.1,
        weight_decay=0.01,
        clip=1.0,
        save_minutes=2.0,
    )


def spikelm_23m() -> Recipe:
    """SpikeLM on the articles of BBC news; `task.encoder=FOLDER` starts it from all-MiniLM-L6-v2.

    *Command*: `spikedrive train bbc_news.spikelm_23m task.encoder=FOLDER`.
    *Measured*: nothing on all texts; benchmarks/results/spikelm.csv has runs on few of them.
    """
    return labelled_texts("spikelm_23m", "bbc_news")


def bert_dense_23m() -> Recipe:
    """The dense twin.

    *Command*: `spikedrive train bbc_news.bert_dense_23m task.encoder=FOLDER`.
    *Measured*: nothing on all texts; benchmarks/results/spikelm.csv has runs on few of them.
    """
    return labelled_texts("bert_dense_23m", "bbc_news")


for make in (spikelm_23m, bert_dense_23m):
    RECIPES.add(f"bbc_news.{make.__name__}", make)
