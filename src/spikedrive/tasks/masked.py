"""Masked image modelling: an encoder sees half of the patches, a light decoder paints the others."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.blocks import SpikingModel
from spikedrive.errors import ConfigError, ShapeError
from spikedrive.neurons.neuron import check_count, check_number
from spikedrive.tasks.visible import VisibleOnly

HEAD_WIDTH = 64
"""Channels of one head of the decoder's attention."""


class MaskedAutoencoder(nn.Module):
    """A spiking encoder of visible patches and a small transformer that predicts the pixels of the masked ones.

    A patch is what one token of the encoder's last level covers: 16 x 16 pixels for the published pyramids. The
    decoder reads the mean over T of the visible tokens' potentials and, in place of every masked token, one learned
    vector; it is an ordinary network and is thrown away after pretraining. The encoder's `head` takes no part: its
    parameters are frozen here.

    *Shapes*: x (B, C, H, W), visible (B, rows, columns) -> prediction (B, rows columns, C h w), patches of h x w.
    *Raises*: ConfigError where the strides do not divide the images, for an encoder of frames, a `width` that is no
    multiple of 4 or, above 64, of 64, a `ratio` that masks all patches or none.
    *Source*: masked autoencoders (arXiv 2111.06377) with the sparse encoding of SparK (`VisibleOnly`), as
    Spike-driven Transformer V3 has them (arXiv 2411.16061; BICLab/Spike-Driven-Transformer-V3 at 00fcd1fd, Model_Large:
    decoder of width 256, depth 4, ratio 0.5).
    *Where we differ*: masked tokens are replaced by the mask token, which the released code builds and never uses
    (it keeps all tokens of the encoder, and permutes them once more); the transformer stages are sparse like the
    convolutional ones; the last norm is a LayerNorm.
    """

    positions: Tensor

    def __init__(
        self, encoder: SpikingModel, image_size: tuple[int, int], *, ratio: float = 0.5, width: int = 256,
        depth: int = 4,
    ) -> None:  # fmt: skip
        super().__init__()
        if encoder.input != "image":
            raise ConfigError(
                "MaskedAutoencoder got an encoder of frames (T, B, C, H, W); it takes one of images. "
                "Build it with input='image'."
            )
        check_number("MaskedAutoencoder", "ratio", ratio, above=0, high=1)
        check_count("MaskedAutoencoder", "depth", depth)
        if width < 4 or width % 4 or (width > HEAD_WIDTH and width % HEAD_WIDTH):
            raise ConfigError(
                f"MaskedAutoencoder got width={width}; it takes a multiple of 4, and above {HEAD_WIDTH} one of "
                f"{HEAD_WIDTH}. Use {max(1, round(width / HEAD_WIDTH)) * HEAD_WIDTH}."
            )
        self.encoder, self.ratio = encoder, float(ratio)
        for name, parameter in encoder.named_parameters():
            if name.startswith("head."):
                parameter.requires_grad_(False)
        channels, rows, columns = _last_level(encoder, image_size)
        self.grid = (rows, columns)
        self.patch = (image_size[0] // rows, image_size[1] // columns)
        self.masked = round(ratio * rows * columns)
        if not 0 < self.masked < rows * columns:
            raise ConfigError(
                f"MaskedAutoencoder got ratio={ratio} of {rows} x {columns} patches, which masks {self.masked}; it "
                "takes at least one masked and one visible patch. Choose larger images or another ratio."
            )
        self.norm = nn.LayerNorm(channels)
        self.embed = nn.Linear(channels, width)
        self.mask_token = nn.Parameter(torch.empty(width))
        self.register_buffer("positions", sine_positions(rows, columns, width), persistent=False)
        self.decoder = nn.Sequential(*(_DecoderBlock(width) for _ in range(depth)))
        self.end_norm = nn.LayerNorm(width)
        self.predict = nn.Linear(width, encoder.in_channels * math.prod(self.patch))
        nn.init.normal_(self.mask_token, std=0.02)
        for part in (self.embed, self.decoder, self.predict):
            for module in part.modules():
                if isinstance(module, nn.Linear):
                    nn.init.trunc_normal_(module.weight, std=0.02)
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
        # before the first use on a device: the whole path, so that what does not divide is refused at once
        probe = next(encoder.parameters())
        self._encode_once(torch.zeros(1, encoder.in_channels, *image_size).to(probe))

    def draw(self, batch: int, generator: torch.Generator) -> Tensor:
        """Which patches are seen, (batch, rows, columns): the same number in every image, otherwise at random."""
        rows, columns = self.grid
        order = torch.rand(batch, rows * columns, generator=generator).argsort(1).argsort(1)
        return (order >= self.masked).view(batch, rows, columns)

    def encode(self, x: Tensor, visible: Tensor) -> Tensor:
        """Tokens (B, rows columns, C') of the encoder's last level, the mean over T; masked ones are zero."""
        with VisibleOnly(visible) as mode:
            features = self.encoder.forward_features(mode.hide(x))[-1]
        return features.mean(0).flatten(2).transpose(1, 2)

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """The decoder's pixels of every patch, each patch normalised."""
        tokens = self.embed(self.norm(self.encode(x, visible)))
        seen = visible.flatten(1).unsqueeze(2)
        tokens = torch.where(seen, tokens, self.mask_token.to(tokens.dtype)) + self.positions
        return self.predict(self.end_norm(self.decoder(tokens)))

    def _encode_once(self, x: Tensor) -> None:
        training = self.encoder.training
        with torch.no_grad():
            self.encoder.eval()
            self.encode(x, self.draw(1, torch.Generator().manual_seed(0)).to(x.device))
        self.encoder.train(training)


def masked_loss(prediction: Tensor, x: Tensor, visible: Tensor) -> Tensor:
    """The mean squared error on masked patches, each normalised by its own mean and deviation.

    *Equation*: mean over masked patches i of |y_i - (p_i - mean(p_i)) / sqrt(var(p_i) + 1e-6)|^2 / pixels, with the
    unbiased variance.
    An answer of zero has 1 less the share of patches of one colour, whose normalised pixels are zero.
    *Shapes*: prediction (B, L, C h w), x (B, C, H, W), visible (B, rows, columns), L = rows columns.
    *Raises*: ShapeError where they do not fit together.
    *Source*: arXiv 2111.06377 (per-patch normalised pixels, masked patches only).
    """
    pixels = patches_of(x, visible.shape[1], visible.shape[2])
    if prediction.shape != pixels.shape:
        raise ShapeError(
            f"masked_loss got a prediction of shape {tuple(prediction.shape)} for patches of {tuple(pixels.shape)}; "
            "it takes one value a pixel. Predict with the autoencoder that drew the mask."
        )
    var, mean = torch.var_mean(pixels, 2, keepdim=True)
    wanted = (pixels - mean) / torch.sqrt(var + 1e-6)
    errors = (prediction - wanted).square().mean(2)
    hidden = ~visible.flatten(1)
    return torch.where(hidden, errors, 0).sum() / hidden.sum()


def patches_of(x: Tensor, rows: int, columns: int) -> Tensor:
    """The patches of images, row by row.

    *Shapes*: x (B, C, H, W) -> (B, rows columns, C h w) with h = H / rows, w = W / columns.

    >>> patches_of(torch.arange(16.0).view(1, 1, 4, 4), 2, 2)[0, 1]
    tensor([2., 3., 6., 7.])
    """
    cells = x.unflatten(3, (columns, -1)).unflatten(2, (rows, -1))
    return cells.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def sine_positions(rows: int, columns: int, width: int) -> Tensor:
    """Sines and cosines of a patch's row, then of its column, at width / 4 frequencies from 1 down to about 1e-4.

    *Shapes*: (rows columns, width).
    *Source*: the two-dimensional form of arXiv 1706.03762's position code, as masked autoencoders use it.
    """
    count = width // 4
    rates = 10_000.0 ** (-torch.arange(count) / count)
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = [place.flatten()[:, None] * rates for place in (row, column)]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], 1)


class _DecoderBlock(nn.Module):
    """An ordinary transformer block over tokens (B, L, width), norms in front."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(1, width // HEAD_WIDTH)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        split = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(*split.unbind(0)).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


def _last_level(encoder: SpikingModel, image_size: tuple[int, int]) -> tuple[int, int, int]:
    """(C', rows, columns) of the encoder's last level."""
    training, weight = encoder.training, next(encoder.parameters())
    with torch.no_grad():
        encoder.eval()
        x = torch.zeros(1, encoder.in_channels, *image_size).to(weight)
        channels, rows, columns = encoder.forward_features(x)[-1].shape[2:]
    encoder.train(training)
    if image_size[0] % rows or image_size[1] % columns:
        raise ConfigError(
            f"Images of {image_size[0]} x {image_size[1]} give {rows} x {columns} tokens, which do not divide them; "
            "masked pretraining takes images that all strides divide. Set image_size to a multiple of their product."
        )
    return channels, rows, columns
