"""The table of docs/explanation/counters.md, from results/audit_table.csv."""

from __future__ import annotations

import results

NOT_COUNTED = "not counted yet"
TOOLS = ("spikedrive", "spikingjelly", "neurobench")


def page(rows: list[dict[str, str]]) -> str:
    """One table of the small networks with their count by hand, one of the published models."""
    tricks = [row for row in rows if row["kind"] == "trick"]
    published = sorted((row for row in rows if row["kind"] == "published"), key=lambda row: row["network"])
    if not tricks:
        return f"{NOT_COUNTED}\n"
    head = "spikedrive | verdict | SpikingJelly 2.0 | NeuroBench 2.3 |"
    lines = [f"| network | by hand | {head}", "|---|---|---|---|---|---|"]
    lines += [f"| {row['network']} | {_pair(row, 'hand')} | {_said(row)} |" for row in tricks]
    if published:
        lines += ["", f"| model, as published | {head}", "|---|---|---|---|---|"]
        lines += [f"| `{row['network']}` | {_said(row)} |" for row in published]
    days, commits, tools = (
        " and ".join(sorted({row[key] for row in rows})) for key in ("date", "commit", "versions")
    )
    return "\n".join(
        [*lines, "", f"Counted {days}, commit {commits}, {tools}: `python benchmarks/audit_table.py`.", ""]
    )


def measured() -> list[dict[str, str]]:
    """The rows on disk."""
    return results.read("audit_table")


def _said(row: dict[str, str]) -> str:
    ours, *others = (_pair(row, tool) for tool in TOOLS)
    return " | ".join([ours, row["spikedrive_verdict"], *others])


def _pair(row: dict[str, str], tool: str) -> str:
    """Additions and multiplications, or the error in their place."""
    found = [row[f"{tool}_{key}"] for key in ("additions", "multiplications")]
    return " / ".join(_short(text) for text in found) if all(text.isdecimal() for text in found) else found[0]


def _short(text: str) -> str:
    number = int(text)
    if number < 100_000:
        return str(number)
    return f"{number / 1e6:.4g} M" if number < 1e9 else f"{number / 1e9:.4g} G"
