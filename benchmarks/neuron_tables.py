"""The tables of docs/performance.md and the README's lines on neurons, from results/neurons.csv."""

from __future__ import annotations

from collections.abc import Iterable

import results

OURS, REFERENCE = "spikedrive", "spikingjelly"
NAMES = {
    OURS: "spikedrive", REFERENCE: "SpikingJelly 2.0", "spikingjelly compiled": "SpikingJelly, torch.compile",
    "spikingjelly net compiled": "SpikingJelly, whole network compiled", "snntorch": "snnTorch 1.0",
    "norse": "Norse 1.1", "sinabs": "Sinabs 3.1", "plain loop": "plain PyTorch loop",
    "spikedrive without BatchNorm": "spikedrive, BatchNorm left out", "no neuron": "no neuron at all",
}  # fmt: skip
SURROGATES = {"atan": "arctangent", "rectangular": "rectangle"}
STEPS = ("1", "4", "16", "64")
NETS = {
    "vgg": "VGG, arctangent", "vgg/rectangular": "VGG, rectangle", "spikformer": "block, arctangent",
    "spikformer/rectangular": "block, rectangle",
}  # fmt: skip
PICTURE = results.ROOT / "docs" / "assets" / "neurons.svg"
Row = dict[str, str]
Found = dict[tuple[str, str, str], Row]


README_WORKS = {
    "lif/T4/atan": "LIF forward and backward, one thread, T = 4, SpikingJelly = 1",
    "lif/T16/atan": "the same, T = 16",
    "vgg": "training step of a spiking VGG, one thread, SpikingJelly = 1",
}


def readme_sources() -> list[Row]:
    """The rows that the README's table shows."""
    return [
        row
        for row in measured()
        if row["work"] in README_WORKS and row["threads"] == "1" and row["contender"] == OURS
    ]


def readme_rows(rows: list[Row]) -> list[tuple[str, str, str]]:
    """What, figure and command of the README's table."""
    found = _index(rows)
    return [
        (what, _ratio(found.get((work, "1", OURS)), spread=True), "`make bench`")
        for work, what in README_WORKS.items()
    ]


def page(rows: list[Row]) -> str:
    """The measured part of docs/performance.md."""
    found = _index(rows)
    parts = []
    for threads in ("1", "2"):
        word = "one thread" if threads == "1" else f"{threads} threads"
        for surrogate, name in SURROGATES.items():
            works = [f"lif/T{steps}/{surrogate}" for steps in STEPS]
            title = f"### Forward and backward, {name}, {word}"
            parts.append(_table(title, works, [f"T = {s}" for s in STEPS], threads, found, _ratio))
    for key, word in (("peak", "malloc as it comes"), ("peak_least", "malloc keeps nothing")):
        for surrogate, name in SURROGATES.items():
            works = [f"peak/T{steps}/{surrogate}" for steps in STEPS]
            title = f"### Peak memory over the input, in sizes of the input, {name}, {word}"
            parts.append(_table(title, works, [f"T = {s}" for s in STEPS], "1", found, _plain(key, "{:.2f}")))
    works = [f"lif/T{steps}/{surrogate}" for surrogate in SURROGATES for steps in ("4", "16")]
    heads = [f"{name}, T = {steps}" for name in SURROGATES.values() for steps in ("4", "16")]
    title = "### Kept for the backward pass, bytes an element"
    parts.append(_table(title, works, heads, "1", found, _plain("saved_bytes", "{:.2f}")))
    works = [f"first/T4/{surrogate}" for surrogate in SURROGATES]
    title = "### First forward and backward of a new process, seconds"
    parts.append(_table(title, works, list(SURROGATES.values()), "1", found, _plain("first_s", "{:.3g}")))
    for threads in ("1", "2"):
        title = f"### Training step of two networks, {threads} thread{'s' if threads != '1' else ''}"
        parts.append(_table(title, list(NETS), list(NETS.values()), threads, found, _ratio))
    parts.append(_agreement(rows))
    if any(parts) and PICTURE.is_file():
        parts.insert(0, f"![Time and peak memory against T](assets/{PICTURE.name})\n")
    return "\n".join(part for part in parts if part) or "Not measured yet.\n"


def _index(rows: Iterable[Row]) -> Found:
    return {(row["work"], row["threads"], row["contender"]): row for row in rows}


def _ratio(row: Row | None, spread: bool = False) -> str:
    """The median of the rounds' ratios; with `spread` the middle half of them too."""
    if row is None or row["ratio"] == "":
        return ""
    text = f"{float(row['ratio']):.2f}"
    if spread:
        return f"{text} ({float(row['ratio_low']):.2f} to {float(row['ratio_high']):.2f})"
    return f"{text} ({float(row['ms']):.0f} ms)" if row["contender"] == REFERENCE else text


def _plain(key: str, form: str):
    return lambda row: form.format(float(row[key])) if row is not None and row[key] != "" else ""


def _table(title: str, works: list[str], heads: list[str], threads: str, found: Found, cell) -> str:
    """One line a contender, one column a work; nothing where no cell was measured."""
    lines = []
    for contender, name in NAMES.items():
        cells = [cell(found.get((work, threads, contender))) for work in works]
        if any(cells):
            lines.append(f"| {name} | " + " | ".join(text or "-" for text in cells) + " |")
    if not lines:
        return ""
    head = "| | " + " | ".join(heads) + " |\n|---" + "|---" * len(works) + "|"
    return "\n".join([title, "", head, *lines, "", _where(works, threads, found)]) + "\n"


def _where(works: list[str], threads: str, found: Found) -> str:
    """Machine, rounds, dates and commits of the rows that a table was made of."""
    rows = [found[key] for key in found if key[0] in works and key[1] == threads]

    def each(key: str) -> str:
        return ", ".join(dict.fromkeys(row[key] for row in rows))

    return f"{each('cpu')}, {each('cores')} cores; rounds: {each('rounds')}; {each('date')}; commit {each('commit')}."


def _agreement(rows: list[Row]) -> str:
    """The largest disagreement with the reference in any race, for those that share its equation."""
    lines = []
    for contender, name in NAMES.items():
        own = [row for row in rows if row["contender"] == contender and row["unequal_spikes"] != ""]
        if not own or contender == REFERENCE:
            continue
        spikes = max(float(row["unequal_spikes"]) for row in own)
        errors = [float(row["gradient_error"]) for row in own if row["gradient_error"] != ""]
        gradient = f"{max(errors):.1e}" if errors else "another surrogate"
        lines.append(f"| {name} | {spikes:.1e} | {gradient} |")
    if not lines:
        return ""
    head = "| | spikes unlike SpikingJelly's, share | gradient, relative distance |\n|---|---|---|"
    return "\n".join(["### The same neuron", "", head, *lines]) + "\n"


def measured() -> list[Row]:
    """The rows on disk."""
    return results.read("neurons")
