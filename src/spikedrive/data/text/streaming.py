"""Text out of tokens that come one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

BAD = "\ufffd"
"""What stands for bytes that are no UTF-8, those of a character that has only begun among them."""
_LONGEST = 4
"""Bytes of the longest character, and so the most tokens that one can be made of."""


class TextStream:
    """Call it with one id after another: it gives the text that has become certain, and `end()` gives the rest.

    Text that ends inside of a character waits, up to the three tokens that the character may still need; bytes that
    never become one come out as the replacement character. Put together it is what `decode` makes of all ids at once,
    wherever that text only grows; where it changes what stands already, it goes on behind that. Each call decodes the
    last few tokens alone.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        # the tokens of the last piece, by which a decoder knows that it is not at the start, and those that wait
        self._ids: list[int] = []
        self._piece, self._given = 0, 0

    def __call__(self, token: int) -> str:
        """The text that this token makes certain."""
        self._ids.append(token)
        text = self._decode(self._ids)
        if not text.endswith(BAD):
            new = text[self._given :]
            self._ids = self._ids[self._piece :]
            self._piece, self._given = len(self._ids), len(self._decode(self._ids))
            return new
        if len(self._ids) - self._piece < _LONGEST:
            return ""
        # so many tokens are no character: what stands in front of the last three is bad for good
        certain = len(self._decode(self._ids[: 1 - _LONGEST]))
        new = text[self._given : certain]
        self._given = max(self._given, certain)
        return new

    def end(self) -> str:
        """What still waits; the stream then begins anew."""
        rest = self._decode(self._ids)[self._given :] if self._ids else ""
        self._ids, self._piece, self._given = [], 0, 0
        return rest
