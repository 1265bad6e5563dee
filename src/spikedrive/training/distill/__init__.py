"""Distillation: what a trained model teaches another."""

from spikedrive.training.distill.teacher import Teacher, prepare_teacher, save_teacher

__all__ = ["Teacher", "prepare_teacher", "save_teacher"]
