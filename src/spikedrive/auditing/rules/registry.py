"""The table of rules: one function an operation, keyed by the operation's overload name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spikedrive.auditing.folding import Step
from spikedrive.registry import Registry

Rule = Callable[[Step], Any]
"""What a `Step` gives: the `Value` of its output (a tuple of them for several), its cost written to the tally."""

RULES: Registry[Rule] = Registry("audit rule")


COMPLEX: Registry[Rule] = Registry("audit rule for complex numbers")
"""The rules of operations that read or make complex numbers; one without is an error as well."""


def rule(*names: str, complex_numbers: bool = False) -> Callable[[Rule], Rule]:
    """Register a function as the rule of these operations, each named as in `aten.conv2d.default`.

    A rule holds for real numbers, or for `complex_numbers`.
    """
    table = COMPLEX if complex_numbers else RULES

    def register(function: Rule) -> Rule:
        for name in names:
            table.add(name, function)
        return function

    return register
