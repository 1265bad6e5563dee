"""From labelled pictures to few labelled events: one network sees both, and their features are drawn together.

*Source*: "An Efficient Knowledge Transfer Strategy for Spiking Neural Networks from Static to Event Domain",
arXiv 2303.13077 (AAAI 2024), as its released code has it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.errors import ConfigError, ShapeError
from spikedrive.neurons.neuron import check_count, check_number

SMALL = 1e-7


def linear_cka(first: Tensor, second: Tensor) -> Tensor:
    """How alike two sets of features of the same samples are, whatever their widths, turns and scales: 0 to 1.

    *Equation*: <K, L> / (|K| |L| + 1e-7), K and L the centred matrices of inner products X X^T and Y Y^T.
    *Shapes*: (B, ...) and (B, ...) -> (). Fewer than about 8 samples say little.
    *Raises*: ShapeError for other numbers of samples.
    """
    if len(first) != len(second):
        raise ShapeError(
            f"linear_cka got features of {len(first)} and {len(second)} samples; it takes as many of both, in pairs. "
            "Draw a picture of the same class for each sample of events."
        )
    one, other = (_centred(features.flatten(1)) for features in (first, second))
    return (one * other).sum() / (one.norm() * other.norm() + SMALL)


class TransferLoss(nn.Module):
    """What a network of both domains learns from: both answers right at every step, and features alike.

    *Equation*, with a share a_t = sigmoid(c_t) of each step that is learned with the network:

        L = tet(pictures) + mean_t (1 - a_t) step_t(events) + 0.5 mean_t a_t (1 - |linear_cka_t|)

    where step_t is (1 - 1e-3) of the cross-entropy of the answer at step t and 1e-3 of its squared distance from the
    threshold, and tet is its mean over the steps. c begins at 0.

    *Shapes*: answers (T, B, K), features (T, B, ...), labels (B,) -> (). The picture of a sample has its label.
    *Raises*: ShapeError for answers or features of another number of steps; ConfigError for no step.
    """

    def __init__(
        self, steps: int, *, weight: float = 0.5, threshold: float = 1.0, spread: float = 1e-3
    ) -> None:
        super().__init__()
        check_count("TransferLoss", "steps", steps)
        check_number("TransferLoss", "spread", spread, low=0, high=1)
        self.weight, self.threshold, self.spread = weight, threshold, spread
        self.c = nn.Parameter(torch.zeros(steps))

    def forward(
        self,
        pictures: Tensor,
        events: Tensor,
        picture_features: Tensor,
        event_features: Tensor,
        labels: Tensor,
    ) -> Tensor:
        """The loss of a batch of pairs."""
        steps = {len(each) for each in (pictures, events, picture_features, event_features)}
        if steps != {len(self.c)}:
            raise ShapeError(
                f"TransferLoss got answers and features of {sorted(steps)} steps; it takes the {len(self.c)} that it "
                "was made for. Show pictures for as many steps as there are frames of events."
            )
        share = self.c.sigmoid()
        alike = torch.stack(
            [1 - linear_cka(*pair).abs() for pair in zip(picture_features, event_features, strict=True)]
        )
        learned = (
            self._by_step(pictures, labels).mean() + ((1 - share) * self._by_step(events, labels)).mean()
        )
        return learned + self.weight * (share * alike).mean()

    def _by_step(self, answers: Tensor, labels: Tensor) -> Tensor:
        entropies = torch.stack([F.cross_entropy(answer, labels) for answer in answers])
        apart = (answers - self.threshold).square().flatten(1).mean(1)
        return (1 - self.spread) * entropies + self.spread * apart


def as_event_frames(pictures: Tensor, steps: int) -> Tensor:
    """Pictures in the shape of frames of events: their brightness (the V of HSV) in both polarities, at every step.

    *Shapes*: pictures (B, 3, H, W) or (B, 1, H, W) -> (T, B, 2, H, W).
    """
    brightness = pictures.amax(1, keepdim=True)
    return brightness.expand(steps, -1, 2, *pictures.shape[2:])


def sliding_share(batch: int, epoch: int, *, batches: int, epochs: int, power: float = 3.0) -> float:
    """The share of pictures that events replace by now, from 0 at the start of training towards 1 at its end.

    *Equation*: ((batch + epoch batches) / (epochs batches))^power, batches and epochs counted from 0.
    *Raises*: ConfigError for a place beyond the end.

    >>> sliding_share(0, 5, batches=10, epochs=10)
    0.125
    """
    done = batch + epoch * batches
    if not 0 <= done <= epochs * batches:
        raise ConfigError(
            f"sliding_share got batch {batch} of epoch {epoch}; training has {epochs} epochs of {batches} batches. "
            "Count both from 0."
        )
    return (done / (epochs * batches)) ** power


def slide(pictures: Tensor, events: Tensor, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Each sample's picture or, with the probability `share`, its events in the place of it.

    *Shapes*: both (T, B, C, H, W) -> the same.
    *Raises*: ShapeError where they differ in shape.
    """
    if pictures.shape != events.shape:
        raise ShapeError(
            f"slide got pictures of shape {tuple(pictures.shape)} and events of {tuple(events.shape)}; it takes frames "
            "of the same. Make them with as_event_frames(pictures, steps)."
        )
    chosen = torch.rand(events.shape[1], generator=generator).to(events.device) < share
    return torch.where(chosen.view(1, -1, *[1] * (events.dim() - 2)), events, pictures)


def _centred(features: Tensor) -> Tensor:
    products = features @ features.T
    return products - products.mean(0) - products.mean(1, keepdim=True) + products.mean()
