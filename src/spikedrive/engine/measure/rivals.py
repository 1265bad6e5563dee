"""The same network in PyTorch, in every form and layout that could be its fastest."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.blocks import RepConv, SpikingModel, fuse
from spikedrive.blocks.linear import LinearChain, batch_norm_map, conv_with_bias, fold_batch_norm
from spikedrive.engine.measure.race import Work

CHOICE = "SPIKEDRIVE_IMPL"
"""The variable that says which implementation the operations take; they read it at every call."""


def forms(model: SpikingModel) -> dict[str, nn.Module]:
    """The trained form; BatchNorm folded and nothing else; one layer between any two neurons. All give the same."""
    return {"unfused": copy.deepcopy(model).eval(), "folded": folded(model), "fused": fuse(model)}


def folded(model: SpikingModel) -> SpikingModel:
    """An eval-mode copy without BatchNorm, in which RepConv stays three convolutions.

    Those multiply real values, yet are the cheaper form for whoever multiplies anyway.
    """
    copied = copy.deepcopy(model).eval()
    for module in list(copied.modules()):
        for name, child in module.named_children():
            if isinstance(child, RepConv):
                setattr(module, name, _three(child))
            elif isinstance(child, LinearChain):
                setattr(module, name, child.fused(dense_separable=False).eval())
    return copied


def _three(chain: RepConv) -> nn.Sequential:
    """RepConv's convolutions with its BatchNorms in their weights; p is what it pads with."""
    gain, shift = batch_norm_map(chain.pad_bn)
    norm = chain.pad_bn
    assert norm.running_mean is not None and norm.running_var is not None
    p = norm.bias.double() - norm.running_mean.double() * norm.weight.double() / torch.sqrt(
        norm.running_var.double() + norm.eps
    )
    taps = chain.depthwise.weight.double().sum((1, 2, 3))
    weight, bias = fold_batch_norm(chain.expand.weight, None, chain.bn)
    if isinstance(chain.outer_bn, nn.BatchNorm2d):
        weight, bias = fold_batch_norm(weight, bias, chain.outer_bn)
    first = chain.reduce.weight.double() * gain.view(-1, 1, 1, 1)
    return nn.Sequential(
        conv_with_bias(first, shift - p, chain.reduce),
        conv_with_bias(chain.depthwise.weight.double(), p * taps, chain.depthwise),
        conv_with_bias(weight, bias, chain.expand),
    ).eval()


def layouts(models: Mapping[str, nn.Module], x: Tensor) -> dict[str, Work]:
    """One work for each form and memory layout, named after both."""
    works: dict[str, Work] = {}
    for form, model in models.items():
        works[f"{form}, contiguous"] = _inference(model, x)
        if x.dim() == 4:
            last: Any = copy.deepcopy(model)
            last = last.to(memory_format=torch.channels_last)
            works[f"{form}, channels last"] = _inference(
                last, x.contiguous(memory_format=torch.channels_last)
            )
    return works


def without_kernels(works: Mapping[str, Work]) -> dict[str, Work]:
    """The same works, their neurons computed by PyTorch's own operations step by step."""
    return {name: _plain(work) for name, work in works.items()}


def _plain(work: Work) -> Work:
    def run() -> Any:
        before = os.environ.get(CHOICE)
        os.environ[CHOICE] = "reference"
        try:
            return work()
        finally:
            if before is None:
                del os.environ[CHOICE]
            else:
                os.environ[CHOICE] = before

    return run


def _inference(model: nn.Module, x: Tensor) -> Work:
    def infer() -> Tensor:
        with torch.inference_mode():
            return model(x)

    return infer
