"""How good a model is on clips of video: classes of clips, classes of pixels, or key points."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikedrive.data.video import VideoSet
from spikedrive.errors import ConfigError, DataError
from spikedrive.tasks import classify, pose, segment
from spikedrive.training.prepare.video import VideoTask, as_frames, names_of, targets_of


@torch.no_grad()
def evaluate_video(
    model: nn.Module, clips: VideoSet, task: VideoTask, *, batch_size: int = 64
) -> dict[str, float]:
    """Loss, accuracy (0 to 1) and the number of clips, and the figures of the task, in eval mode.

    "video": the share of clips with the right class. "segment": the share of pixels; `miou` is the mean over classes
    of intersection over union, of all frames together. "pose": the share of points within `pose.RADIUS` of where they
    should be (PCK); `pixel_error` is the mean distance. The model is left in the mode in which it came.

    *Units*: loss in nats a clip, nats a pixel, or shares of the frame's side; pixel_error in pixels.
    *Raises*: DataError for no clips; ConfigError for a model with another number of outputs.
    """
    names = names_of(task, clips)
    if getattr(model, "classes", len(names)) != len(names):
        raise ConfigError(
            f"evaluate_video got clips with {len(names)} names for the task {task!r} and a model with "
            f"{getattr(model, 'classes', 0)}; it takes one output a name. Evaluate on the data that it learned."
        )
    if not len(clips):
        raise DataError("There are no clips to judge on; at least one is taken. Check the split.")
    training, device = model.training, next(model.parameters()).device
    model.eval()
    sums = _Sums(task, len(names))
    try:
        for chosen in torch.arange(len(clips)).split(batch_size):
            output = model(as_frames(clips.frames[chosen]).to(device))
            sums.add(output, targets_of(task, clips, chosen).to(device), len(chosen))
    finally:
        model.train(training)
    return sums.figures(clips.frames.shape[-1])


class _Sums:
    def __init__(self, task: VideoTask, classes: int) -> None:
        self.task: VideoTask = task
        self.clips, self.loss, self.right, self.answers, self.far = 0, 0.0, 0, 0, 0.0
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64)

    def add(self, output: Tensor, targets: Tensor, clips: int) -> None:
        loss, right, answers = judge(self.task, output, targets)
        self.clips, self.loss = self.clips + clips, self.loss + float(loss) * clips
        self.right, self.answers = self.right + int(right), self.answers + answers
        if self.task == "segment":
            self.confusion += segment.confusion(output, targets).cpu()
        if self.task == "pose":
            self.far += float(pose.distances(output, targets).double().sum())

    def figures(self, width: int) -> dict[str, float]:
        more = {
            "video": {},
            "segment": {"miou": segment.mean_iou(self.confusion) if self.task == "segment" else 0.0},
            "pose": {"pixel_error": width * self.far / self.answers},
        }[self.task]
        return {
            "loss": self.loss / self.clips,
            "accuracy": self.right / self.answers,
            **more,
            "clips": self.clips,
        }


def judge(task: VideoTask, output: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, int]:
    """The loss, how many answers are right, and how many were asked for."""
    if task == "segment":
        return segment.loss(output, targets), (output.detach().argmax(2) == targets).sum(), targets.numel()
    if task == "pose":
        right = pose.found(output, targets)
        return pose.loss(output, targets), right.sum(), right.numel()
    return classify.loss(output, targets), classify.correct(output, targets), len(targets)
