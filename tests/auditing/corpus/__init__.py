"""Every network of the corpus, one file a theme."""

from __future__ import annotations

from auditing.corpus import gates, products, scales
from auditing.nets import CASES, Case

CORPUS: list[Case] = [*CASES, *products.CASES, *gates.CASES, *scales.CASES]
