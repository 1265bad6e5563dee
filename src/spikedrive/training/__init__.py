"""Training: the recipe, the loop, and what comes out of it."""

from spikedrive.training.activity import record_activity
from spikedrive.training.anytime import answers_by_step, evaluate_anytime, evaluate_anytime_clips
from spikedrive.training.conversion import Conversion, convert
from spikedrive.training.evaluation.clips import evaluate_clips
from spikedrive.training.evaluation.flow import evaluate_flow
from spikedrive.training.evaluation.images import evaluate
from spikedrive.training.evaluation.text import evaluate_labelled, evaluate_text
from spikedrive.training.evaluation.video import evaluate_video
from spikedrive.training.loop import train
from spikedrive.training.optimizers import Lamb, WeightAverage, learning_rate, make_optimizer
from spikedrive.training.recipe import Recipe
from spikedrive.training.run_folder import Run

__all__ = [
    "Conversion", "Lamb", "Recipe", "Run", "WeightAverage", "answers_by_step", "convert", "evaluate",
    "evaluate_anytime", "evaluate_anytime_clips", "evaluate_clips", "evaluate_flow", "evaluate_labelled",
    "evaluate_text", "evaluate_video", "learning_rate", "make_optimizer", "record_activity", "train",
]  # fmt: skip
