"""Compile, compare, and give back what was compared."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from engine.chains import MEAN, STD
from spikedrive.engine.lower import compile
from spikedrive.engine.runtime import Program
from spikedrive.engine.verify import Verification, verify


def equal_program(
    model: nn.Module, example: Tensor, pixels: np.ndarray, **options
) -> tuple[Program, Verification]:
    channels = example.shape[-3]
    mean, std = (MEAN * 2)[:channels], (STD * 2)[:channels]
    program = compile(model, example, mean=mean, std=std, **options)
    found = verify(program, model, pixels, batch=8)
    assert found.unequal_neurons == {}
    assert found.logits_equal
    assert found.equal
    return program, found
