"""Tokens along rows and columns, and BatchNorm over positions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from spikedrive.blocks import AxialMixer, NormPoolLinear, PositionNormConv
from spikedrive.neurons import LIF


def test_the_axial_mixer_is_its_equation_on_a_map_that_is_not_square() -> None:
    mixer = AxialMixer(4, (3, 5)).double().eval()
    for part in (mixer.along_height, mixer.along_width):
        nn.init.normal_(part.conv.weight, 0, 2)
        nn.init.uniform_(part.bn.weight, 1, 2)
    s = (torch.rand(2, 3, 4, 3, 5, dtype=torch.float64) > 0.5).double()
    high = torch.einsum("gh,tbchw->tbcgw", mixer.along_height.conv.weight[:, :, 0, 0], s)
    high = (
        (high + mixer.along_height.conv.bias[:, None]) * mixer.along_height.bn.weight[:, None] / 1.00001**0.5
    )
    wide = torch.einsum("vw,tbchw->tbchv", mixer.along_width.conv.weight[:, :, 0, 0], s)
    wide = (wide + mixer.along_width.conv.bias) * mixer.along_width.bn.weight / 1.00001**0.5
    joined = torch.cat([s, LIF()(high), LIF()(wide)], 2)
    assert LIF()(high).any() and LIF()(wide).any()
    expected = torch.einsum("oc,tbchw->tbohw", mixer.join.conv.weight[:, :, 0, 0], joined) / 1.00001**0.5
    torch.testing.assert_close(mixer(s), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("training", [False, True])
def test_a_norm_over_positions_is_batch_norm_with_tokens_for_features(training: bool) -> None:
    layer = PositionNormConv(4, 6, 15).double()
    nn.init.uniform_(layer.bn.weight, 1, 2)
    nn.init.uniform_(layer.bn.running_mean, -1, 1)
    twin = nn.BatchNorm1d(15).double().train(training)
    twin.load_state_dict(layer.bn.state_dict())
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    y = layer.train(training)(x)
    tokens = F.linear(x.flatten(2).transpose(1, 2), layer.conv.weight[:, :, 0, 0], layer.conv.bias)
    torch.testing.assert_close(y.flatten(2).transpose(1, 2), twin(tokens), rtol=0, atol=1e-12)
    if not training:
        torch.testing.assert_close(layer.fused(dense_separable=True)(x), y, rtol=0, atol=1e-12)


def test_a_head_with_a_norm_folds_into_one_layer() -> None:
    head = NormPoolLinear(4, 3).double().eval()
    for values in (head.bn.weight, head.bn.bias, head.bn.running_var):
        nn.init.uniform_(values, 0.5, 2)
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(head.fused(dense_separable=True)(x), head(x), rtol=0, atol=1e-12)
