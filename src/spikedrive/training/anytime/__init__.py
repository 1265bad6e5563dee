"""Early answers of a trained network."""

from spikedrive.training.anytime.evaluate import answers_by_step, evaluate_anytime

__all__ = ["answers_by_step", "evaluate_anytime"]
