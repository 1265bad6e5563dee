"""The verdict on every registered model, as it was published and after `make_additive`.

Usage: python benchmarks/audit_models.py [--models PATTERN ...]

Rows audited now replace those of the same model in results/audit_models.csv. Without data an audit counts the worst
case, which is all that a verdict needs. Weights are drawn, BatchNorm's numbers too: a fresh one's 0 and 1 would be
convenient constants that no trained network has.
"""

from __future__ import annotations

import argparse
from collections import Counter
from fnmatch import fnmatch

import results
import torch
from torch import Tensor, nn

import spikedrive as sd
from spikedrive.auditing import Audit
from spikedrive.blocks import SpikingModel
from spikedrive.cli.target import example_input
from spikedrive.models import ModelCard, get_card


def main() -> None:
    """Audit what was asked for, and write it model by model, so that an interrupted run keeps what it has."""
    options = _options()
    results.refuse_while_red()
    for name in sd.list_models():
        if any(fnmatch(name, pattern) for pattern in options.models):
            row = row_of(name)
            print(
                f"{name}: {row['released']} -> {row['repaired']}, {row['steps']} steps",
                flush=True,
            )
            old = [each for each in results.read("audit_models") if each["model"] != name]
            results.write("audit_models", sorted([*old, row], key=lambda each: str(each["model"])))


def row_of(name: str) -> dict[str, object]:
    """What the table says of one model."""
    torch.manual_seed(0)
    model = _as_if_trained(sd.create_model(name, as_released=True)).eval()
    card = get_card(name)
    example = _example(model, card)
    released = sd.audit(model, example)
    repaired = sd.make_additive(model, example=example)
    after = sd.audit(repaired.model, example)
    return {
        "model": name,
        "paper": card.paper,
        "released": released.verdict,
        "multiplications": _left(released),
        "why": _reasons(released),
        "repaired": after.verdict,
        "left": _left(after),
        "why_left": _reasons(after),
        "analog": " ".join(after.analog),
        "steps": len(repaired.applied),
        "change": f"{repaired.change:.2g}",
        "rules_version": released.rules_version,
    }


def _example(model: SpikingModel, card: ModelCard) -> Tensor:
    """A batch of one of what the card names; of a text one token, as every position does the same."""
    if card.input in ("tokens", "points"):
        return example_input(model)
    lead = (1,) if card.input == "image" else (card.steps, 1)
    return torch.rand(*lead, *card.input_size)


def _as_if_trained(model: SpikingModel) -> SpikingModel:
    for part in model.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            for numbers in (part.weight, part.bias, part.running_mean, part.running_var):
                with torch.no_grad():
                    numbers.uniform_(0.3, 1.7)
    return model


def _left(audited: Audit) -> int:
    """Multiplications and functions outside the analog first layer."""
    return round(sum(left.count + left.functions for left in audited.exceptions))


def _reasons(audited: Audit) -> str:
    """Each reason with the number of operations that it holds for."""
    counted = Counter(left.why for left in audited.exceptions)
    return "; ".join(f"{count} x {why}" for why, count in counted.most_common())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["*"], help="shell patterns of registered names")
    return parser.parse_args()


if __name__ == "__main__":
    main()
