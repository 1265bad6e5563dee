"""Encoders: where T is born."""

from spikedrive.encoders.direct import Direct

__all__ = ["Direct"]
