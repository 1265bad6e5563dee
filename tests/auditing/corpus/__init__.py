"""Every network of the corpus, one file a theme."""

from __future__ import annotations

from auditing.corpus import (
    activations,
    gates,
    layers,
    mixing,
    products,
    recurrence,
    scales,
    whole_numbers,
    writes,
)
from auditing.nets import CASES, Case

THEMES = (activations, gates, layers, mixing, products, recurrence, scales, whole_numbers, writes)
CORPUS: list[Case] = [*CASES, *(case for theme in THEMES for case in theme.CASES)]
