"""Text out of single tokens is the text of all of them, whatever bytes they hold."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from spikedrive.data.text import ByteTokenizer, TextStream

PIECES = [
    b"a",
    b"bc",
    b"\xe2",
    b"\x82",
    b"\xac",
    b"\x82\xac",
    b"\xac\xe2",
    b"\xf0\x9f",
    b"\x98",
    b"\x80",
    b"\xff",
]
"""Tokens of several bytes that begin and end inside of a character."""


def decode(ids: Sequence[int]) -> str:
    return b"".join(PIECES[i] for i in ids).decode(errors="replace")


def streamed(more: TextStream, ids: Sequence[int]) -> list[str]:
    return [*(more(i) for i in ids), more.end()]


@given(st.lists(st.integers(0, len(PIECES) - 1), max_size=30))
def test_pieces_put_together_are_the_text(ids: list[int]) -> None:
    assert "".join(streamed(TextStream(decode), ids)) == decode(ids)


@given(st.binary(max_size=30))
def test_bytes_put_together_are_the_text(data: bytes) -> None:
    assert "".join(streamed(ByteTokenizer().stream(), data)) == data.decode(errors="replace")


def test_what_never_becomes_a_character_is_given_in_time() -> None:
    more = TextStream(decode)
    bad = PIECES.index(b"\xff")
    assert [more(bad) for _ in range(6)] == ["", "", "", "\ufffd", "\ufffd", "\ufffd"]
    assert more(0) == "\ufffd" * 3 + "a"
    assert (more(bad), more.end(), more.end(), more(0)) == ("", "\ufffd", "", "a")


def test_text_that_changes_behind_itself_goes_on() -> None:
    """As tokenizers do that take away the blank in front of a full stop."""
    more = TextStream(lambda ids: " ".join("ab."[i] for i in ids).replace(" .", "."))
    assert "".join(streamed(more, [0, 2, 1, 2, 0])) == "a. b. a"


def test_only_the_last_tokens_are_decoded_again() -> None:
    lengths: list[int] = []

    def noted(ids: Sequence[int]) -> str:
        lengths.append(len(ids))
        return decode(ids)

    streamed(TextStream(noted), [0, 1] * 50)
    assert max(lengths) <= 2
