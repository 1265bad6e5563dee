"""The registry of token mixers of one or several cameras: what lets the places of a frame see each other."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from spikedrive.registry import Registry

TokenMixer = Callable[[int], nn.Module]
"""`mixer(channels)`: from a map and what is known of its frequencies to a map.

Its forward takes x (N, C, H, W) and table (H, W, C), and gives (N, C, H, W).
"""

TOKEN_MIXERS: Registry[TokenMixer] = Registry("token mixer")
