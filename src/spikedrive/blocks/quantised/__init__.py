"""Quantised weights: what a layer multiplies by, on a grid that it learns."""

from spikedrive.blocks.quantised.learned_step import LearnedStep, quantise_weights

__all__ = ["LearnedStep", "quantise_weights"]
