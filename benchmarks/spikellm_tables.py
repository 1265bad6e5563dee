"""The tables of docs/how-to/spikellm.md, from results/spikellm.csv and results/spikellm_memory.csv."""

from __future__ import annotations

import results

TEXTS = {"shakespeare": "Shakespeare", "kjv": "KJV", "bbc": "BBC"}
SPIKES, EQUAL = "spikes", "plain, equal bits"


def page(rows: list[dict[str, str]]) -> str:
    """The lines between the marks: perplexities, and whether spikes beat as many bits without them."""
    if not rows:
        return "Not measured yet.\n"
    text = "| quantiser | format | form | bits a weight | bits an activation | " + " | ".join(TEXTS.values())
    text += " | better than equal bits |\n|---|---|---|---|---|---|---|---|---|\n"
    for row in rows:
        figures = " | ".join(_perplexity(row[name]) for name in TEXTS)
        text += (
            f"| {row['method']} | {row['format']} | {row['form']} | {row['weight_bits']} | {row['activation_bits']} "
            f"| {figures} | {_verdict(row, rows)} |\n"
        )
    one, days, commits = rows[0], _all(rows, "date"), _all(rows, "commit")
    return (
        f"{text}\nPerplexity of {one['tokens']} tokens a text, in {one['windows']} windows of {one['length']}, by "
        f"`{one['command']}`; the reference is the dequantised model. {one['cpu']}, {days}, commit {commits}.\n"
    )


def memory(rows: list[dict[str, str]]) -> str:
    """The lines between the marks: the peak of memory while a folder of 7B shapes is converted."""
    if not rows:
        return "Not measured yet.\n"
    text = "| format | quantiser | layers converted | parameters, 10^9 | folder, GB | peak memory, GB | CPU seconds |\n"
    text += "|---|---|---|---|---|---|---|\n"
    for row in rows:
        text += (
            f"| {row['format']} | {row['method']} | {row['layers']} of {row['of']} | {row['parameters']} "
            f"| {row['folder_gb']} | {row['peak_gb']} | {row['cpu_seconds']} |\n"
        )
    return (
        f"{text}\n`{rows[0]['command']}`, one thread of an {rows[0]['cpu']}, {_all(rows, 'date')}, commit "
        f"{_all(rows, 'commit')}.\n"
    )


def measured() -> list[dict[str, str]]:
    """The rows on disk."""
    return results.read("spikellm")


def measured_memory() -> list[dict[str, str]]:
    """The rows on disk."""
    return results.read("spikellm_memory")


def _verdict(row: dict[str, str], rows: list[dict[str, str]]) -> str:
    """On how many texts, and on how many windows, a row with spikes beats the plain quantiser of as many bits."""
    if not row["form"].startswith(SPIKES):
        return ""
    key = ("method", "format")
    found = [r for r in rows if r["form"] == EQUAL and all(r[k] == row[k] for k in key)]
    if not found:
        return "not measured yet"
    other = found[0]
    texts = sum(float(row[name]) < float(other[name]) for name in TEXTS)
    pairs = [pair for name in TEXTS for pair in zip(_nats(row, name), _nats(other, name), strict=True)]
    won = sum(a < b for a, b in pairs)
    word = (
        "yes" if texts == len(TEXTS) else "**no**" if texts == 0 else f"**on {texts} of {len(TEXTS)} texts**"
    )
    return f"{word} ({won} of {len(pairs)} windows)"


def _nats(row: dict[str, str], name: str) -> list[float]:
    return [float(n) for n in row[f"{name}_nats"].split()]


def _perplexity(figure: str) -> str:
    number = float(figure)
    return f"{number:.1f}" if number < 1000 else f"{number:.0f}" if number < 1e6 else f"{number:.1e}"


def _all(rows: list[dict[str, str]], key: str) -> str:
    return " and ".join(sorted({row[key] for row in rows}))
