"""Chains: what they compute while training, and that fusing them changes nothing."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from spikedrive.blocks import (
    ConvBN,
    DepthwisePointwise,
    DistilledLinear,
    LayerScale,
    LinearChain,
    RepConv,
    RepPointwise,
    SepConv,
)


def perturbed(module: nn.Module) -> nn.Module:
    """BatchNorm statistics and affines that are far from the identity."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 2.0)
            nn.init.normal_(norm.bias)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.3, 3.0)
    return module.double()


CHAINS = {
    "conv": lambda: ConvBN(3, 4, 3),
    "conv_bias_stride": lambda: ConvBN(3, 4, 5, stride=2, bias=True),
    "depthwise": lambda: ConvBN(4, 4, 7, groups=4),
    "pointwise": lambda: ConvBN(3, 5),
    "rep": lambda: RepConv(3, 4),
    "rep_wide": lambda: RepConv(3, 4, 5, outer_bn=False),
    "rep_one": lambda: RepConv(1, 1),
    "separable": lambda: DepthwisePointwise(3, 4, 5),
    "rep_pointwise": lambda: RepPointwise(4, 5),
    "rep_pointwise_plain": lambda: RepPointwise(4, 5, ratio=1, outer_bn=False),
    "scaled": lambda: LayerScale(RepConv(3, 4), 4, 0.25),
}


@pytest.mark.parametrize("dense_separable", [False, True])
@pytest.mark.parametrize("name", CHAINS)
def test_fused_is_the_same_map(name: str, dense_separable: bool) -> None:
    chain = perturbed(CHAINS[name]()).eval()
    x = torch.randn(2, _channels(chain), 9, 8, dtype=torch.float64)
    fused = chain.fused(dense_separable=dense_separable)
    torch.testing.assert_close(fused(x), chain(x), rtol=0, atol=1e-9)
    assert fused(torch.zeros_like(x)).abs().sum() > 0  # the shift of BatchNorm is in the bias
    layers = [m for m in fused.modules() if not list(m.children())]
    assert all(isinstance(m, nn.Conv2d) for m in layers)
    assert len(layers) == (2 if name == "separable" and not dense_separable else 1)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 3, 5]), st.integers(1, 5), st.booleans())
def test_rep_conv_fuses_at_every_size(inputs: int, outputs: int, kernel: int, side: int, outer: bool) -> None:
    chain = perturbed(RepConv(inputs, outputs, kernel, outer_bn=outer)).eval()
    x = torch.randn(1, inputs, side, side + 1, dtype=torch.float64)
    torch.testing.assert_close(chain.fused(dense_separable=False)(x), chain(x), rtol=0, atol=1e-9)


def test_rep_conv_pads_with_what_a_zero_input_gives_and_holds_it_constant() -> None:
    chain = perturbed(RepConv(3, 4))
    x = torch.randn(2, 3, 6, 5, dtype=torch.float64, requires_grad=True)
    for training in (False, True):
        chain.train(training)
        expected = _padded_by_hand(copy.deepcopy(chain), chain, x)
        grads = _grads(expected, chain, x)
        actual = chain(x)
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)
        for got, wanted in zip(_grads(actual, chain, x), grads, strict=True):
            torch.testing.assert_close(got, wanted, rtol=0, atol=1e-9)


def test_rep_conv_counts_its_batches_and_follows_the_statistics() -> None:
    chain, plain = RepConv(3, 4), nn.BatchNorm2d(3)
    x = torch.randn(5, 3, 6, 6)
    chain.train()(x)
    plain(chain.reduce(x))
    assert chain.pad_bn.num_batches_tracked == 1
    torch.testing.assert_close(chain.pad_bn.running_mean, plain.running_mean)
    torch.testing.assert_close(chain.pad_bn.running_var, plain.running_var)


def test_fused_layers_keep_the_dtype() -> None:
    chain = ConvBN(2, 2).eval()
    assert chain.fused(dense_separable=False).weight.dtype == torch.float32
    assert chain.double().fused(dense_separable=False).weight.dtype == torch.float64


def test_a_distilled_head_answers_twice_and_fuses_to_the_mean() -> None:
    head = DistilledLinear(4, 3).double()
    x = torch.randn(2, 5, 4, dtype=torch.float64)
    label, teacher = head(x)
    torch.testing.assert_close(label, head.label(x))
    torch.testing.assert_close(teacher, head.teacher(x))
    head.eval()
    torch.testing.assert_close(head(x), (label + teacher) / 2)
    torch.testing.assert_close(head.fused(dense_separable=False)(x), head(x), rtol=0, atol=1e-12)


def test_sep_conv_has_a_third_neuron_where_it_is_spiking() -> None:
    x = torch.randn(2, 3, 4, 8, 8)
    released, spiking = SepConv(4, kernel_size=3), SepConv(4, kernel_size=3, spiking=True)
    assert released(x).shape == spiking(x).shape == x.shape
    neurons = lambda m: [n for n, _ in m.named_children() if n.endswith("neuron")]  # noqa: E731
    assert neurons(released) == ["in_neuron", "mid_neuron"]
    assert neurons(spiking) == ["in_neuron", "mid_neuron", "out_neuron"]


def _channels(chain: LinearChain) -> int:
    first = next(m for m in chain.modules() if isinstance(m, nn.Conv2d))
    return first.in_channels


def _padded_by_hand(statistics: RepConv, chain: RepConv, x: Tensor) -> Tensor:
    """The chain with a padded canvas, as the original writes it; the first argument's statistics move on."""
    y = _norm(statistics.pad_bn, chain.pad_bn, chain.reduce(x))
    mean, var = statistics.pad_bn.running_mean, statistics.pad_bn.running_var
    pad = (chain.pad_bn.bias - mean * chain.pad_bn.weight / (var + chain.pad_bn.eps).sqrt()).detach()
    n, c, h, w = y.shape
    canvas = pad.view(1, c, 1, 1).expand(n, c, h + 2, w + 2).clone()
    canvas[:, :, 1:-1, 1:-1] = y
    z = chain.expand(F.conv2d(canvas, chain.depthwise.weight, groups=c))
    z = _norm(statistics.bn, chain.bn, z)
    return _norm(statistics.outer_bn, chain.outer_bn, z)


def _norm(statistics: nn.BatchNorm2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    return F.batch_norm(
        x, statistics.running_mean, statistics.running_var, norm.weight, norm.bias, norm.training, norm.momentum,
        norm.eps,
    )  # fmt: skip


def _grads(y: Tensor, chain: RepConv, x: Tensor) -> tuple[Tensor, ...]:
    weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return torch.autograd.grad((y * weight).sum(), [x, *chain.parameters()])
