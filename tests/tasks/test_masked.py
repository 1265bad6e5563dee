"""Masked autoencoding: nothing of a masked patch reaches the encoder, and the mask token is used."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import spikedrive as sd
from models.families import tiny
from spikedrive.blocks import ConvBN, SpikeAttention
from spikedrive.errors import ConfigError, ShapeError
from spikedrive.tasks import MaskedAutoencoder, VisibleOnly, masked_loss
from spikedrive.tasks.masked import patches_of, sine_positions

PYRAMIDS = ["v1", "v2_distilled", "v3", "v3_large", "spikformer_v2", "sew_integer"]
NANO = {"widths": (8, 16), "depths": (1, 1), "strides": (2, 2), "heads": 2, "classes": 3}


def nano(**arguments: Any) -> MaskedAutoencoder:
    torch.manual_seed(0)
    encoder = sd.create_model("e_spikeformer_nano", **NANO)
    return MaskedAutoencoder(encoder, (16, 16), **{"width": 16, "depth": 1, **arguments})


def masks(model: MaskedAutoencoder, batch: int = 3) -> Tensor:
    return model.draw(batch, torch.Generator().manual_seed(1))


def spread(visible: Tensor, model: MaskedAutoencoder) -> Tensor:
    """(B, 1, H, W), True on the pixels of visible patches."""
    rows, columns = model.patch
    return visible.repeat_interleave(rows, 1).repeat_interleave(columns, 2).unsqueeze(1)


@pytest.mark.parametrize("family", PYRAMIDS)
def test_what_lies_under_the_mask_changes_no_bit_of_the_encoder(family: str) -> None:
    size = 32 if family == "spikformer_v2" else 16
    model = MaskedAutoencoder(tiny(family), (size, size), width=16, depth=1)
    x, visible = torch.randn(3, model.encoder.in_channels, size, size), masks(model)
    other = torch.where(spread(visible, model), x, 9 * torch.randn_like(x))
    # copies: a pass in training moves the running statistics, which RepConv reads
    one, two, three = (copy.deepcopy(model).train() for _ in range(3))
    tokens = one.encode(x, visible)
    assert torch.equal(tokens, two.encode(other, visible))
    assert not tokens[~visible.flatten(1)].any()
    for a, b in zip(one.buffers(), two.buffers(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(one.eval().encode(x, visible), two.eval().encode(other, visible))
    seen = torch.where(spread(visible, model), -x, x)
    assert not torch.equal(tokens, three.encode(seen, visible))


def test_batch_norm_counts_visible_positions_only_at_every_step() -> None:
    steps, visible = 2, torch.tensor([[[True, False], [False, False]], [[True, True], [False, True]]])
    x = torch.randn(steps * 2, 3, 4, 4, dtype=torch.float64).requires_grad_()
    norm, twin = (nn.BatchNorm2d(3).double() for _ in range(2))
    with VisibleOnly(visible):
        y = norm(x)
    seen = visible.repeat(steps, 1, 1).repeat_interleave(2, 1).repeat_interleave(2, 2)
    rows = x.movedim(1, 3)[seen]
    wanted = twin(rows.T[None, :, :, None])[0, :, :, 0].T
    torch.testing.assert_close(y.movedim(1, 3)[seen], wanted, rtol=0, atol=1e-12)
    assert not y.movedim(1, 3)[~seen].any()
    assert len(rows) == 4 * 4 * steps
    torch.testing.assert_close(norm.running_var, rows.detach().var(0) * 0.1 + 0.9)
    (grad,) = torch.autograd.grad(y.square().sum(), x)
    assert not grad.movedim(1, 3)[~seen].any()


def test_pooling_and_convolution_leave_masked_positions_empty() -> None:
    visible = torch.tensor([[[True, False]]])
    x, weight = torch.ones(1, 1, 4, 8), torch.ones(1, 1, 3, 3)
    with VisibleOnly(visible) as mode:
        convolved, pooled = F.conv2d(x, weight, padding=1), F.max_pool2d(x, 2)
        assert torch.equal(mode.hide(x)[..., :4], x[..., :4])
    assert convolved[..., :4].all() and not convolved[..., 4:].any()
    assert pooled.flatten().tolist() == [1, 1, 0, 0] * 2
    # outside nothing is hidden
    assert F.conv2d(x, weight, padding=1).all()


def test_attention_over_a_masked_map_is_attention_over_its_visible_tokens() -> None:
    torch.manual_seed(0)
    attention = SpikeAttention(8, 2, variant="sdsa3", projection=ConvBN, scale=0.25, neuron="ILIF").double()
    for module in attention.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.bias, -1, 1)
    visible = torch.tensor([[[True, False, True], [False, True, True]]])
    x = 3 * torch.randn(1, 1, 8, 2, 3, dtype=torch.float64)
    with VisibleOnly(visible) as mode:
        masked = attention(mode.hide(x[0])[None])
    tokens = x[..., visible[0]].unsqueeze(3)
    attention.train()
    torch.testing.assert_close(masked[..., visible[0]], attention(tokens)[..., 0, :])


def test_the_mask_token_is_used() -> None:
    model = nano()
    x, visible = torch.randn(3, 1, 16, 16), masks(model)
    before = copy.deepcopy(model)(x, visible)
    masked_loss(model(x, visible), x, visible).backward()
    assert model.mask_token.grad is not None and model.mask_token.grad.abs().min() > 0
    with torch.no_grad():
        model.mask_token += torch.randn_like(model.mask_token)
    after = copy.deepcopy(model)(x, visible)
    # the decoder attends, so that every patch's answer moves
    assert (before != after).any(2).all()
    # without a decoder block nothing attends, and the token stands on masked patches alone
    model.decoder = nn.Sequential()
    flat = copy.deepcopy(model)
    with torch.no_grad():
        flat.mask_token += torch.randn_like(flat.mask_token)
    moved = (copy.deepcopy(model)(x, visible) != flat(x, visible)).any(2)
    assert torch.equal(moved, ~visible.flatten(1))


def test_every_parameter_but_the_heads_gets_a_gradient() -> None:
    model = nano()
    x, visible = torch.randn(8, 1, 16, 16), masks(model, 8)
    masked_loss(model(x, visible), x, visible).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None]
    assert silent and all(name.startswith("encoder.head.") for name in silent)
    assert not any(p.requires_grad for p in model.encoder.head.parameters())


def test_the_loss_is_of_masked_patches_only() -> None:
    torch.manual_seed(0)
    x, visible = torch.randn(2, 3, 4, 6), torch.tensor([[[True, False, True]] * 2] * 2)
    prediction = torch.randn(2, 6, 12, requires_grad=True)
    loss = masked_loss(prediction, x, visible)
    (grad,) = torch.autograd.grad(loss, prediction)
    assert not grad[visible.flatten(1)].any() and grad[~visible.flatten(1)].all()
    patch = x[1, :, 2:, 2:4].flatten()
    target = (patch - patch.mean()) / (patch.var() + 1e-6).sqrt()
    assert torch.equal(patches_of(x, 2, 3)[1, 4], patch)
    # every masked patch answered but one
    pixels = patches_of(x, 2, 3)
    answers = (pixels - pixels.mean(2, keepdim=True)) / (pixels.var(2, keepdim=True) + 1e-6).sqrt()
    answers[1, 4] = 0
    torch.testing.assert_close(masked_loss(answers, x, visible), target.square().mean() / 4)


def test_every_image_hides_the_same_number_of_patches() -> None:
    model = nano(ratio=0.75)
    visible = masks(model, 50)
    assert (visible.flatten(1).sum(1) == 4).all() and model.grid == (4, 4) and model.patch == (4, 4)
    assert visible.any(0).all() and len({tuple(row.flatten().tolist()) for row in visible}) > 40
    assert torch.equal(visible, masks(model, 50))


def test_the_decoder_is_as_large_as_the_published_one() -> None:
    """Spike-MAE 12-512 has 85,464,128 parameters, of which 81,978,688 are its encoder's with a norm of 2 x 512."""
    encoder = sd.create_model("e_spikeformer_83m", widths=(8, 8, 8, 512), depths=(0, 0, 0, 1))
    model = MaskedAutoencoder(encoder, (32, 32))
    assert model.patch == (16, 16)
    own = sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in encoder.parameters())
    assert own == 85_464_128 - 81_978_688 + 2 * 512


def test_positions_differ_and_repeat_along_rows_and_columns() -> None:
    code = sine_positions(3, 4, 16).view(3, 4, 16)
    assert torch.equal(code[1, 0, :8], code[1, 3, :8]) and torch.equal(code[0, 2, 8:], code[2, 2, 8:])
    assert len({tuple(row.tolist()) for row in code.flatten(0, 1)}) == 12


def test_what_cannot_be_masked_is_refused() -> None:
    encoder = sd.create_model("e_spikeformer_nano")
    with pytest.raises(
        ConfigError, match=r"\(1, 32, 14, 14\) under 4 x 4 patches.*multiples of 4.*image_size"
    ):
        MaskedAutoencoder(encoder, (28, 28))
    with pytest.raises(ConfigError, match=r"30 x 30 give 4 x 4 tokens.*Set image_size"):
        MaskedAutoencoder(encoder, (30, 30))
    with pytest.raises(ConfigError, match="which masks 0; it takes at least one masked"):
        nano(ratio=0.01)
    with pytest.raises(
        ConfigError, match=r"width=96; it takes a multiple of 4, and above 64 one of 64. Use 128"
    ):
        nano(width=96)
    with pytest.raises(ConfigError, match=r"ratio=1\.5; it takes a number above 0 and at most 1"):
        nano(ratio=1.5)
    with pytest.raises(ConfigError, match=r"encoder of frames.*Build it with input='image'"):
        MaskedAutoencoder(tiny("v2", input="frames"), (16, 16))
    with pytest.raises(ConfigError, match=r"array of shape .* takes maps"):
        MaskedAutoencoder(tiny("mlp"), (16, 16))
    with pytest.raises(ShapeError, match=r"shape \(1, 4, 3\) for patches of \(1, 4, 4\)"):
        masked_loss(torch.zeros(1, 4, 3), torch.zeros(1, 1, 4, 4), torch.ones(1, 2, 2, dtype=torch.bool))
