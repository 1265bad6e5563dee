"""What the audit knows about each operation: one file a kind, each adding to `RULES`.

An operation without a rule is an error, never free. A new block or neuron registers its rules in its
own file with `@rule("namespace.name.overload")`.
"""

from spikedrive.auditing.rules import (
    elementwise,
    functions,
    linear,
    making,
    neurons,
    pooling,
    products,
    reductions,
    views,
)
from spikedrive.auditing.rules.registry import RULES, Rule, rule

__all__ = [
    "RULES", "Rule", "elementwise", "functions", "linear", "making", "neurons", "pooling", "products", "reductions",
    "rule", "views",
]  # fmt: skip
