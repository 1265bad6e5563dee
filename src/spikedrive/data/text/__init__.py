"""Text: where it comes from, how it becomes tokens, and the crops that a model learns from."""

from spikedrive.data.text.crops import TokenCrops, windows
from spikedrive.data.text.labelled import (
    LABELLED,
    EncodedTexts,
    LabelledTexts,
    encode,
    encode_labelled,
    load_labelled,
    pad,
)
from spikedrive.data.text.sources import TEXTS, read_texts, split_of
from spikedrive.data.text.streaming import TextStream
from spikedrive.data.text.tokenizers import (
    ByteTokenizer,
    HuggingFaceTokenizer,
    Tokenizer,
    check_fingerprint,
    open_tokenizer,
    recorded_tokenizer,
    tokenizer_record,
)
from spikedrive.data.text.tokens import TokenSet, load_tokens, open_tokens, pack_tokens

__all__ = [
    "LABELLED", "TEXTS", "ByteTokenizer", "EncodedTexts", "HuggingFaceTokenizer", "LabelledTexts", "TextStream",
    "TokenCrops", "TokenSet", "Tokenizer", "check_fingerprint", "encode", "encode_labelled", "load_labelled",
    "load_tokens", "open_tokenizer", "open_tokens", "pack_tokens", "pad", "read_texts", "recorded_tokenizer",
    "split_of", "tokenizer_record", "windows",
]  # fmt: skip
