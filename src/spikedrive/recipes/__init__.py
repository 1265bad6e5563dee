"""Recipes: functions that return one `Recipe`, one file per data set."""

from spikedrive.recipes import cifar, imagenet, moving_fashion, moving_shapes, shakespeare
from spikedrive.recipes._registry import RECIPES, get_recipe, list_recipes, register_recipe
from spikedrive.recipes.event_clips import event_clips
from spikedrive.recipes.event_flow import event_flow
from spikedrive.recipes.fashion_mnist import fashion_mnist, fashion_mnist_mini
from spikedrive.recipes.image_folder import image_folder
from spikedrive.recipes.labelled_texts import labelled_texts
from spikedrive.recipes.masked_pretraining import masked_pretraining
from spikedrive.recipes.paired_clips import paired_clips
from spikedrive.recipes.recall import recall
from spikedrive.recipes.text_folder import text_folder
from spikedrive.recipes.video_clips import video_clips

__all__ = [
    "RECIPES", "cifar", "event_clips", "event_flow", "fashion_mnist", "fashion_mnist_mini", "get_recipe",
    "image_folder", "imagenet", "labelled_texts", "list_recipes", "masked_pretraining", "moving_fashion",
    "moving_shapes", "paired_clips", "recall", "register_recipe", "shakespeare", "text_folder", "video_clips",
]  # fmt: skip
