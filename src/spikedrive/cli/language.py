"""A language model that a word on the command line stands for, and its tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikedrive.errors import ConfigError

if TYPE_CHECKING:
    from spikedrive.blocks import SpikingModel
    from spikedrive.blocks.language import LanguageModel
    from spikedrive.data.text import Tokenizer


def load_language_model(target: str) -> LanguageModel:
    """The language model of a run, a checkpoint or a name, in its deployed form.

    *Raises*: ConfigError for a model of something else; as `target.load_target`.
    """
    from spikedrive.blocks import fuse
    from spikedrive.blocks.language import LanguageModel
    from spikedrive.cli.target import load_target

    model = load_target(target)
    if not isinstance(model, LanguageModel):
        raise ConfigError(
            f"{target} is a {type(model).__name__}, which takes {model.input}s; generate takes models of tokens. Name "
            "one of `spikedrive models` whose input is tokens, or a run of it."
        )
    return model if model.fused is not None else fuse(model)  # type: ignore[return-value]


def open_tokenizer_of(model: SpikingModel, spec: str | None) -> Tokenizer:
    """The tokenizer of a model, or the one named, which must be the same.

    *Raises*: CheckpointError where the model learned with another one; ConfigError where its vocabulary is another's.
    """
    from spikedrive.data.text import recorded_tokenizer

    tokenizer = recorded_tokenizer(model.metadata, spec)
    if tokenizer.vocabulary != model.classes:
        raise ConfigError(
            f"The tokenizer {tokenizer.spec} has {tokenizer.vocabulary} tokens and the model {model.classes}; both "
            "have the same. Name the model's own with --tokenizer."
        )
    return tokenizer
