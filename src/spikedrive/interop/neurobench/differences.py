"""Where the audit and NeuroBench differ on purpose: a small network for each difference, and what both say of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spikedrive.auditing import audit
from spikedrive.interop.neurobench.metrics import measure
from spikedrive.neurons import IF, ILIF, TernaryLIF


class Lambda(nn.Module):
    """A function of layers: `body(layers, x)`."""

    def __init__(self, body: Callable[[list[nn.Module], Tensor], Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.body = nn.ModuleList(layers), body

    def forward(self, x: Tensor) -> Tensor:
        """What the body gives."""
        return self.body(list(self.layers), x)


@dataclass(frozen=True)
class Difference:
    """One network, what of it is counted, and why the numbers differ.

    `theirs` is a path into NeuroBench's metrics, `ours` a count of the audit; both per sample, on `x`.
    """

    network: str
    build: Callable[[], nn.Module]
    x: Callable[[], Tensor]
    theirs: str
    ours: str
    why: str

    def numbers(self) -> tuple[float, float]:
        """Theirs and ours."""
        torch.manual_seed(0)
        model, x = self.build().eval(), self.x()
        # neurons here take (T, B, ...)
        found = measure(model, [x], batch_axis=1)
        for key in self.theirs.split("."):
            found = found[key]
        totals = audit(model, x, data=x, batch_axis=1).totals
        return float(found), sum(totals[key] for key in self.ours.split(" + "))  # type: ignore[arg-type]


def _spikes() -> Tensor:
    """One step of one sample, every second of eight inputs large enough to fire."""
    return torch.tensor([4.0, -4.0] * 4).view(1, 1, 8)


def _tokens() -> Tensor:
    return torch.randn(1, 1, 4, 8, generator=torch.Generator().manual_seed(0))


def _linear(inputs: int = 8, outputs: int = 4) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False)


def _attention(layers: list[nn.Module], x: Tensor) -> Tensor:
    q, k, v = (layer(x) for layer in layers)
    return (q @ k.transpose(-1, -2)) @ v


MACS, ACS = "synaptic_operations.Effective_MACs", "synaptic_operations.Effective_ACs"

DIFFERENCES = (
    Difference(
        "attention written as products: q k^T v of 4 tokens of width 8",
        lambda: Lambda(_attention, *(_linear(8, 8) for _ in range(3))), _tokens, MACS, "multiplications",
        "the products between activations belong to no layer that hooks know: 4 x 4 x 8 twice",
    ),
    Difference(
        "nn.MultiheadAttention of width 8 on 4 tokens, then a Linear",
        lambda: Lambda(
            lambda m, x: m[1](m[0](x[0], x[0], x[0])[0]), nn.MultiheadAttention(8, 2, batch_first=True), _linear(8, 4),
        ),
        _tokens, MACS, "multiplications + functions",
        "its projections and products run below any module that hooks know; only the Linear after it is left",
    ),
    Difference(
        "integers 0..4 before a Linear: four inputs of 4",
        lambda: nn.Sequential(ILIF(4), _linear()), _spikes, MACS, "multiplications",
        "an integer s is s additions; there one value above 1 makes the whole call MACs",
    ),
    Difference(
        "the same integers, as additions",
        lambda: nn.Sequential(ILIF(4), _linear()), _spikes, ACS, "additions",
        "four inputs of 4 into four outputs are 4 x 4 x 4 additions",
    ),
    Difference(
        "a SEW sum of two spike trains before a Linear",
        lambda: Lambda(lambda m, x: m[2](m[0](x) + m[1](x)), IF(), IF(), _linear()), _spikes, MACS, "multiplications",
        "a sum of spikes is an integer, which is added as often as it says",
    ),
    Difference(
        "ternary spikes before a Linear",
        lambda: nn.Sequential(TernaryLIF(), _linear()), _spikes, ACS, "additions",
        "none: -1 is an addition for both, where SpikingJelly's counter says multiplication",
    ),
    Difference(
        "x * x between two Linears",
        lambda: Lambda(lambda m, x: m[1](m[0](x) ** 2), _linear(), _linear(4, 2)), _spikes, MACS, "multiplications",
        "an operation without a module is not seen: four squares",
    ),
    Difference(
        "a Linear and LayerNorm",
        lambda: nn.Sequential(_linear(), nn.LayerNorm(4)), _spikes, MACS, "multiplications + functions",
        "only Linear and convolutions are counted; the first layer is 8 x 4 for both",
    ),
    Difference(
        "the membranes of a neuron that is not snnTorch's",
        lambda: nn.Sequential(IF(), _linear()), _spikes, "membrane_updates", "membrane_updates",
        "they are read from snnTorch's attribute; the audit counts each neuron once a step",
    ),
)  # fmt: skip


def table(numbers: Sequence[tuple[float, float]] | None = None) -> str:
    """The differences in Markdown, with these numbers of theirs and ours, or those counted now."""
    lines = ["| network | of NeuroBench | says | of the audit | says | why |", "|---|---|---|---|---|---|"]
    counted = [row.numbers() for row in DIFFERENCES] if numbers is None else numbers
    for row, (theirs, ours) in zip(DIFFERENCES, counted, strict=True):
        lines.append(f"| {row.network} | `{row.theirs}` | {theirs:g} | `{row.ours}` | {ours:g} | {row.why} |")
    return "\n".join(lines)
