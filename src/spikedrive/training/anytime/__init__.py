"""Early answers of a trained network."""

from spikedrive.training.anytime.evaluate import answers_by_step, evaluate_anytime, evaluate_anytime_clips

__all__ = ["answers_by_step", "evaluate_anytime", "evaluate_anytime_clips"]
