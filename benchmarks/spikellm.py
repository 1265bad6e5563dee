"""SpikeLLM on SmolLM2-135M: perplexity of each quantiser, with spikes, and without them at the same average bits.

Usage: python benchmarks/spikellm_data.py && python benchmarks/spikellm.py [--rows TEXT] [--pilot]
       rows are written as they come, and those that are there are left alone; --rows takes those whose name holds TEXT

The reference is the dequantised model of a package that holds weights of four bits (Q4_1), not the original one.
Linear layers of the decoder are converted; embedding, head, norms and the products of attention stay real. For each
quantiser and format there is the plain one, the one with spikes in a tenth of the channels, and the plain one with as
many average bits as that (scales and extra spikes counted). Calibration reads other texts than are measured: other
plays, the Old Testament, other articles. --pilot prints rows on calibration text and writes none: what was chosen, was
chosen there. Writes results/spikellm.csv.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass, replace

import results
import spikellm_data as data
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from spikedrive.training.spikellm import (
    AverageBits,
    Format,
    Moments,
    SpikingLinear,
    average_bits,
    convert_language_model,
    observe,
    spike_linear,
)  # fmt: skip
from spikedrive.training.spikellm.convert import weight_of
from spikedrive.training.spikellm.format import Method

WINDOWS, LENGTH = 4, 128
"""Of each text."""
CALIBRATION, CALIBRATION_LENGTH = 4, 256
"""Of each text."""
DAMPING = 0.1
"""Ten times what is usual: with so few tokens it leaves less error on others, seen on calibration text."""
METHODS: tuple[Method, ...] = ("rtn", "smoothquant", "gptq")
GROUP = 64
"""Weights of a row that share a scale where they have three bits or less; else all of the row."""
PLAIN, EQUAL, SPIKES, RELEASED = "plain", "plain, equal bits", "spikes", "spikes, range of the token"
ORDER = ("reference", "rtn", "gptq", "smoothquant")
COMMAND = "python benchmarks/spikellm.py"


@dataclass(frozen=True)
class Row:
    """What one line of the table measures."""

    method: str
    format: str
    form: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.format} {self.form}"


FORMATS = {
    # in four bits it is the activations that lose, in eight the weights: there go the spikes
    "W4A4": Format(4, 4, activation_spikes=2),
    "W4A8": Format(4, 8, weight_spikes=2),
    "W3A8": Format(3, 8, weight_spikes=2, group=GROUP),
    "W2A8": Format(2, 8, weight_spikes=2, group=GROUP),
    "WtA8": Format(2, 8, weight_spikes=2, group=GROUP, ternary=True),
}


def rows() -> list[Row]:
    """All of them, in the order of the table."""
    found = [Row("reference", "", "dequantised model")]
    for name in FORMATS:
        for method in METHODS:
            found += [Row(method, name, form) for form in (PLAIN, EQUAL, SPIKES)]
            if name == "W4A4":
                found.append(Row(method, name, RELEASED))
    return found


def form_of(row: Row, model: nn.Module, moments: dict[str, Moments]) -> Format:
    """The format of one row."""
    spiking = replace(FORMATS[row.format], method=row.method, damping=DAMPING)  # type: ignore[arg-type]
    if row.form == SPIKES:
        return spiking
    if row.form == RELEASED:
        return replace(spiking, ranges="token")
    plain = replace(spiking, weight_spikes=1, activation_spikes=1)
    if row.form == PLAIN:
        return plain
    # what scales and the like cost is known once one is made: of rounding, as it is the same for all quantisers
    known = {name: m for name, m in moments.items() if ".0." in name}
    few = [_bits(model, known, form) for form in (spiking, plain)]
    weight, activation = (getattr(few[0], n) - getattr(few[1], n) for n in ("weight", "activation"))
    # more than ternary: whole levels of an affine grid, and the number of levels that those bits allow
    ternary = plain.ternary and weight == 0
    base = plain.bits_a_weight if plain.ternary else plain.weight_bits
    zero_points = 2 / GROUP if plain.ternary else 0.0
    assert plain.activation_bits is not None
    return replace(
        plain,
        ternary=ternary,
        weight_bits=base + weight - zero_points,
        activation_bits=plain.activation_bits + activation,
    )


@torch.no_grad()
def _bits(model: nn.Module, moments: dict[str, Moments], form: Format) -> AverageBits:
    layers = [
        spike_linear(*weight_of(model.get_submodule(name)), own, replace(form, method="rtn"))
        for name, own in moments.items()
    ]
    return average_bits(nn.ModuleList(layers))


@torch.no_grad()
def losses(model: nn.Module, windows: Tensor) -> list[float]:
    """Mean nats a token of each window; its first token is given."""
    logits = model(windows[:, :-1], use_cache=False).logits
    return cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten(), reduction="none").view(
        len(windows), -1
    ).mean(1).tolist()  # fmt: skip


def measure(
    row: Row, model: nn.Module, moments: dict[str, Moments], texts: dict[str, Tensor]
) -> dict[str, object]:
    """The figures of one row."""
    start, figures = time.process_time(), {}
    kept = {name: model.get_submodule(name) for name in moments}
    if row.method != "reference":
        form = form_of(row, model, moments)
        bits = convert_language_model(model, moments, form)
        layers = [part for part in model.modules() if isinstance(part, SpikingLinear)]
        nonzero = sum(int(layer.weight.count_nonzero()) for layer in layers)
        figures = {
            "weight_bits": f"{bits.weight:.3f}",
            "activation_bits": f"{bits.activation:.3f}",
            "density": f"{nonzero / bits.weights:.3f}",
            "weight_spikes": form.weight_spikes,
            "activation_spikes": form.activation_spikes,
            "salient": form.salient,
            "group": form.group or "row",
        }
    blank = (
        "weight_bits",
        "activation_bits",
        "density",
        "weight_spikes",
        "activation_spikes",
        "salient",
        "group",
    )
    found: dict[str, object] = {"method": row.method, "format": row.format, "form": row.form,
                                **dict.fromkeys(blank, ""), **figures}  # fmt: skip
    for name, windows in texts.items():
        nats = losses(model, windows)
        found[name] = f"{math.exp(sum(nats) / len(nats)):.3f}"
        found[f"{name}_nats"] = " ".join(f"{n:.4f}" for n in nats)
    for name, layer in kept.items():
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, layer)
    return {**found, "windows": WINDOWS, "length": LENGTH, "tokens": WINDOWS * (LENGTH - 1),
            "calibration_tokens": len(texts) * CALIBRATION * CALIBRATION_LENGTH, "damping": DAMPING,
            "cpu_seconds": f"{time.process_time() - start:.0f}", "command": COMMAND}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="", help="only rows whose name holds this")
    parser.add_argument("--pilot", action="store_true", help="on calibration text, printed only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    done = {Row(r["method"], r["format"], r["form"]): r for r in results.read("spikellm")}
    wanted = [row for row in rows() if options.rows in row.name and (options.pilot or row not in done)]
    if not wanted:
        sys.exit("every row is there; remove lines of benchmarks/results/spikellm.csv to measure them again")
    model = data.model()
    calibration = {
        text: data.windows(text, data.CALIBRATION, CALIBRATION, CALIBRATION_LENGTH) for text in data.TEXTS
    }
    moments = observe(model, list(calibration.values()))
    if options.pilot:
        # other windows of the calibration texts
        texts = {text: data.windows(text, data.CALIBRATION, 7, LENGTH)[3:4] for text in data.TEXTS}
    else:
        texts = {text: data.windows(text, data.HELD_OUT, WINDOWS, LENGTH) for text in data.TEXTS}
    # the cheapest quantiser of every format first
    for row in sorted(wanted, key=lambda r: ORDER.index(r.method)):
        figures = measure(row, model, moments, texts)
        shown = " ".join(f"{key}={figures[key]}" for key in ("weight_bits", "activation_bits", *data.TEXTS))
        print(f"{row.name}: {shown} ({figures['cpu_seconds']} s)", flush=True)
        if not options.pilot:
            done[row] = {**results.provenance(), **figures}
            results.write("spikellm", [done[r] for r in rows() if r in done])


if __name__ == "__main__":
    main()
