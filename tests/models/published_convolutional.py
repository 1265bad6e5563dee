"""The published convolutional networks, written plainly: each forward draws its checkpoint as it goes."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from spikedrive.neurons import SpatialAttention

Fire = Callable[[Tensor], Tensor]


class Checkpoint:
    """Weights and spikes by the names of the published code, drawn where they are asked for first."""

    def __init__(self, fire: Fire) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.spikes: dict[str, Tensor] = {}
        self._fire = fire
        self._generator = torch.Generator().manual_seed(3)

    def conv(
        self, name: str, x: Tensor, width: int, size: int, stride: int = 1, *, bias: bool = False
    ) -> Tensor:
        """A convolution of every step, (T, B, C, H, W)."""
        channels = x.shape[2]
        weight = self._draw(
            f"{name}.weight", (width, channels, size, size), (2 / (channels * size**2)) ** 0.5
        )
        shift = self._draw(f"{name}.bias", (width,), 0.1) if bias else None
        return torch.stack([F.conv2d(step, weight, shift, stride, size // 2) for step in x])

    def norm(self, name: str, x: Tensor) -> Tensor:
        """BatchNorm in eval mode of every step."""
        width = (x.shape[2],)
        gain, variance = (
            self._draw(f"{name}.weight", width, 0.2, 1.2),
            self._draw(f"{name}.running_var", width, 0.1, 1.0),
        )
        shift, mean = self._draw(f"{name}.bias", width, 0.3), self._draw(f"{name}.running_mean", width, 0.1)
        self.tensors[f"{name}.num_batches_tracked"] = torch.tensor(1)
        axes = (-1, 1, 1)
        centred = (x - mean.view(axes)) / (variance.view(axes) + 1e-5).sqrt()
        return centred * gain.view(axes) + shift.view(axes)

    def linear(self, name: str, x: Tensor, width: int) -> Tensor:
        """A linear layer on the last axis."""
        weight = self._draw(f"{name}.weight", (width, x.shape[-1]), (8 / x.shape[-1]) ** 0.5)
        return x @ weight.T + self._draw(f"{name}.bias", (width,), 0.5)

    def fire(self, name: str, x: Tensor) -> Tensor:
        """A neuron."""
        self.spikes[name] = self._fire(x)
        return self.spikes[name]

    def attend(self, name: str, x: Tensor) -> Tensor:
        """Spatial attention, whose own test compares it with the original's output; masks leak over the batch."""
        layer = SpatialAttention(x.shape[0], x.shape[2], reduction=2, shared_masks=True).double()
        for key, value in layer.state_dict().items():
            value.copy_(self._draw(f"{name}.attn.{key}", tuple(value.shape), 0.5))
        for key, value in SpatialAttention(1, x.shape[2], reduction=1).state_dict().items():
            self._draw(f"{name}.spike.0.attn.{key}", tuple(value.shape), 0.5)
        return layer(x)

    def _draw(self, name: str, shape: tuple[int, ...], deviation: float, base: float = 0.0) -> Tensor:
        # single precision, as checkpoints are
        drawn = base + deviation * torch.randn(shape, generator=self._generator)
        self.tensors[name] = drawn.double()
        return self.tensors[name]


def integrate(x: Tensor, *, decay: float, leak_input: bool, threshold: float, strict: bool) -> Tensor:
    """Integrate and fire with a reset to zero."""
    membrane, spikes = torch.zeros_like(x[0]), []
    for step in x:
        membrane = decay * membrane + (1 - decay if leak_input else 1) * step
        fired = (membrane > threshold if strict else membrane >= threshold).to(x)
        membrane = membrane * (1 - fired)
        spikes.append(fired)
    return torch.stack(spikes)


def sew_resnet(
    c: Checkpoint,
    x: Tensor,
    depths: tuple[int, ...],
    convs: tuple[tuple[int, int], ...],
    join: str,
    inner: str,
) -> Tensor:
    """`convs` are (kernel, width over the stage's) of a block, `inner` the container's name inside."""
    x = c.fire("sn1", c.norm("bn1", c.conv("conv1", x, 8, 7, 2)))
    x = torch.stack([F.max_pool2d(step, 3, 2, 1) for step in x])
    for stage, depth in enumerate(depths):
        for block in range(depth):
            name, width = f"layer{stage + 1}.{block}", 8 * 2**stage
            stride = 2 if stage and not block else 1
            y = x
            for i, (size, ratio) in enumerate(convs, 1):
                # the first 3 x 3 convolution is the one that skips positions
                step = (
                    stride
                    if (size == 3 and i == min(j for j, (k, _) in enumerate(convs, 1) if k == 3))
                    else 1
                )
                y = c.conv(f"{name}.conv{i}{inner}.0", y, width * ratio, size, step)
                y = c.fire(f"{name}.sn{i}", c.norm(f"{name}.conv{i}{inner}.1", y))
            if stride == 2 or x.shape[2] != y.shape[2]:
                x = c.conv(f"{name}.downsample.0{inner}.0", x, y.shape[2], 1, stride)
                x = c.fire(f"{name}.downsample.1", c.norm(f"{name}.downsample.0{inner}.1", x))
            x = {"add": x + y, "and": x * y, "iand": x * (1 - y)}[join]
    return c.linear("fc", x.mean((3, 4)).mean(0), 5)


def ms_resnet(c: Checkpoint, x: Tensor, depths: tuple[int, ...], *, deep: bool) -> Tensor:
    """`deep` is the layout of the 104 layers."""
    if deep:
        for i in range(3):
            x = c.conv(f"conv1.{i}", x, 8, 3, 1 if i else 2, bias=True)
        x = c.norm("conv1.3.bn", x)
    else:
        x = c.norm("conv1.1.bn", c.conv("conv1.0", x, 8, 7, 2))
    for stage, depth in enumerate(depths):
        for block in range(depth):
            name, width, stride = f"conv{stage + 2}_x.{block}", 8 * 2**stage, 1 if block else 2
            f = f"{name}.residual_function"
            y = c.norm(f"{f}.2.bn", c.conv(f"{f}.1", c.fire(f"{f}.0", x), width, 3, stride))
            y = c.norm(f"{f}.5.bn", c.conv(f"{f}.4", c.fire(f"{f}.3", y), width, 3))
            if stride == 2:
                if deep:
                    x = torch.stack([F.avg_pool2d(step, 2) for step in x])
                at = 1 if deep else 0
                x = c.conv(f"{name}.shortcut.{at}", x, width, 1, 1 if deep else 2)
                x = c.norm(f"{name}.shortcut.{at + 1}.bn", x)
            x = x + y
    return c.linear("fc", c.fire("mem_update", x).mean((3, 4)).mean(0), 5)


def spiking_vgg(c: Checkpoint, x: Tensor, widths: tuple[tuple[int, ...], ...], *, batch_norm: bool) -> Tensor:
    """Layers are numbered, neurons and maxima included."""
    at = 0
    for stage in widths:
        for width in stage:
            x = c.conv(f"features.{at}", x, width, 3, bias=True)
            x = c.norm(f"features.{at + 1}", x) if batch_norm else x
            at += 2 if batch_norm else 1
            x = c.fire(f"features.{at}", x)
            at += 1
        x = torch.stack([F.max_pool2d(step, 2) for step in x])
        at += 1
    x = torch.stack([F.adaptive_avg_pool2d(step, 7).flatten(1) for step in x])
    x = c.fire("classifier.1", c.linear("classifier.0", x, 12))
    x = c.fire("classifier.4", c.linear("classifier.3", x, 12))
    return c.linear("classifier.6", x, 5).mean(0)


def asa_csnn(c: Checkpoint, x: Tensor, widths: tuple[int, ...], pools: tuple[int, ...]) -> Tensor:
    """Frames in, firing rates out."""
    for i, (width, pool) in enumerate(zip(widths, pools, strict=True)):
        name = f"ConvAttLIFs.{i}"
        x = c.norm(f"{name}.bn.0", c.conv(f"{name}.conv.0", x, width, 3, bias=True))
        x = torch.stack([F.avg_pool2d(step, pool) for step in x])
        x = c.fire(f"{name}.spike.0", c.attend(name, x))
    x = c.fire("FCs.0.spike.0", c.linear("FCs.0.linear.0", x.flatten(2), 12))
    return c.fire("FCs.1.spike.0", c.linear("FCs.1.linear.0", x, 5)).mean(0)
