"""What the audit knows about each operation: one file a kind, each adding to `RULES`.

An operation without a rule is an error, never free. A new block or neuron registers its rules in its
own file with `@rule("namespace.name.overload")`.
"""

from spikedrive.auditing.rules import (
    convolution,
    elementwise,
    linear,
    logic,
    making,
    neurons,
    ordinary,
    pooling,
    products,
    reductions,
    views,
)
from spikedrive.auditing.rules.registry import COMPLEX, RULES, Rule, rule

__all__ = [
    "COMPLEX", "RULES", "Rule", "convolution", "elementwise", "linear", "logic", "making", "neurons", "ordinary",
    "pooling", "products", "reductions", "rule", "views",
]  # fmt: skip
