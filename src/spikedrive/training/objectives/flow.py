"""Training optical flow, at every step and scale."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spikedrive.blocks import SpikingModel
from spikedrive.errors import ConfigError
from spikedrive.tasks import flow
from spikedrive.training.evaluation.flow import evaluate_flow
from spikedrive.training.objectives.objective import Objective
from spikedrive.training.prepare import Data, Flow, Part
from spikedrive.training.prepare.keys import task_number
from spikedrive.training.recipe import Recipe


class _Scales(nn.Module):
    """The model, called for the flow of all its scales, as the loss takes it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> list[Tensor]:
        scales = getattr(self.model, "forward_scales", None)
        assert scales is not None
        return scales(x) if self.training else [self.model(x)]


class PredictFlow(Objective):
    """How far everything moves in each step, from the events until then."""

    has_accuracy = False

    def __init__(self, model: SpikingModel, recipe: Recipe) -> None:
        if not hasattr(model, "forward_scales"):
            raise ConfigError(
                f"The task 'flow' got {recipe.model}, which has no forward_scales; it learns at every scale. Give the "
                "model that method: one flow (T, B, 2, H, W) a scale, the answer last."
            )
        super().__init__(_Scales(model))
        self._angle = task_number(recipe, "angle", 0.0, float, 0)

    def loss(self, call: nn.Module, part: Part) -> tuple[Tensor, Tensor]:
        """`tasks.flow.loss`, in pixels, where pixels sent events."""
        truth = part.targets
        loss = flow.loss(call(part.x), truth[:, :, :2], truth[:, :, 2] > 0, angle=self._angle)
        return loss, torch.zeros_like(loss.detach())

    def validate(
        self, call: nn.Module, data: Data, *, batch_size: int, rank: int, world: int
    ) -> tuple[float, float, int]:
        """The mean endpoint error of the answer, in pixels per step."""
        assert isinstance(data, Flow)
        found = evaluate_flow(_Answer(call), data.validation, batch_size=batch_size, rank=rank, world=world)
        return found["aee"], 0.0, int(found["places"])

    def weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The model's."""
        return {key.removeprefix("model."): t for key, t in state.items()}

    def figures(self, val_loss: float) -> dict[str, float]:
        """The endpoint error under its name."""
        return {"val_aee": val_loss}


class _Answer(nn.Module):
    """What the loop calls, answering with the last scale alone."""

    def __init__(self, call: nn.Module) -> None:
        super().__init__()
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x)[-1]
