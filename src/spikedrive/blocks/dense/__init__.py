"""Heads that answer for every frame, on the levels of a pyramid: segmentation and key points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from torch import nn

from spikedrive.blocks.dense.decoder import PyramidDecoder, SegmentHead
from spikedrive.blocks.dense.pose import PoseHead
from spikedrive.blocks.neuron import NeuronLike
from spikedrive.blocks.readout import ClassifyHead
from spikedrive.errors import unknown_name

__all__ = ["DenseTask", "PoseHead", "PyramidDecoder", "SegmentHead", "make_head"]

DenseTask = Literal["classify", "segment", "pose"]
"""What a pyramid answers with: a class a clip, a class a pixel and frame, or key points a frame."""


def make_head(
    task: DenseTask,
    widths: Sequence[int],
    strides: Sequence[int],
    classes: int,
    *,
    neuron: NeuronLike = "LIF",
) -> nn.Module:
    """The head of that task on a pyramid whose stages have these widths and strides, finest first.

    `classes` counts the classes, for pose the key points. A `ClassifyHead` takes the coarsest level; the others take
    the list of all levels and the size (H, W) of the frames.

    *Raises*: UnknownNameError for another task.
    """
    if task not in get_args(DenseTask):
        raise unknown_name("task of a head", str(task), get_args(DenseTask))
    if task == "segment":
        return SegmentHead(widths, strides, classes, neuron=neuron)
    if task == "pose":
        return PoseHead(widths[-1], classes, neuron=neuron)
    return ClassifyHead(widths[-1], classes, neuron=neuron)
