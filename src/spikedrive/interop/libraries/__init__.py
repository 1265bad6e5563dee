"""Models of SpikingJelly, snnTorch, Norse and Sinabs: their neurons as ours, for the audit.

Importing this needs none of them; a model that holds one of their neurons brings its library along.
"""

from torch import nn

from spikedrive.auditing import register_adapter
from spikedrive.interop.libraries.compare import Comparison, compare
from spikedrive.interop.libraries.swap import LIBRARIES, as_ours, neurons_of_others

__all__ = ["LIBRARIES", "Comparison", "as_ours", "compare", "neurons_of_others"]


def adapt(model: nn.Module) -> nn.Module | None:
    """The copy with our neurons, or None where there is nothing to swap."""
    return as_ours(model) if neurons_of_others(model) else None


register_adapter("libraries", adapt)
