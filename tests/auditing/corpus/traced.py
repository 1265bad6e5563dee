"""Inputs and graphs of the networks; each is traced once for all tests."""

from __future__ import annotations

import functools

import torch

from auditing.corpus import recurrence, writes
from auditing.nets import CASES, Case
from spikedrive.auditing.rules import RULES
from spikedrive.auditing.trace import Graph, trace

ANY_BATCH = {*CASES, *recurrence.CASES, *writes.CASES}
"""Traced for a batch of any size; the others for one sample, which takes half as long."""


def example_of(case: Case, batch: int = 2) -> torch.Tensor:
    shape = list(case.shape)
    shape.insert(case.batch_axis, batch)
    if case.inputs:
        return torch.randint(case.inputs[0].low, case.inputs[0].high + 1, shape).float()
    return torch.randn(shape).abs() * 2


@functools.cache
def graph_of(case: Case) -> Graph:
    """The traced network; tracing takes longer than everything else here."""
    any_batch = case in ANY_BATCH
    return trace(
        case.net().eval(), example_of(case, 2 if any_batch else 1), batch_axis=case.batch_axis, dynamic=any_batch,
        decompose=lambda op: op not in RULES,
    )  # fmt: skip
