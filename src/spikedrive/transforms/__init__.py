"""Transforms: from a trained network to one in binary steps, and to one that needs additions only."""

from spikedrive.transforms.additive import Applied, Repaired, make_additive
from spikedrive.transforms.trials import Proposal
from spikedrive.transforms.unroll import Unrolled, unroll
from spikedrive.transforms.verify import Comparison, Difference, NeuronRow, UnrollReport, verify_unrolled

__all__ = [
    "Applied", "Comparison", "Difference", "NeuronRow", "Proposal", "Repaired", "UnrollReport", "Unrolled",
    "make_additive", "unroll", "verify_unrolled",
]  # fmt: skip
