"""The table of docs/how-to/text.md: what generation keeps in memory, from results/token_memory.csv."""

from __future__ import annotations

import results


def page(rows: list[dict[str, str]]) -> str:
    """The lines between the marks: state, and growth of the process, by the number of tokens."""
    if not rows:
        return "Not measured yet.\n"
    counts = sorted({int(row["tokens"]) for row in rows})
    head = ["state / growth, kB, after tokens", *(f"{count:,}" for count in counts)]
    lines = [head, ["---"] * len(head)]
    for work in dict.fromkeys((row["model"], row["form"]) for row in rows):
        found = {int(row["tokens"]): row for row in rows if (row["model"], row["form"]) == work}
        cells = [
            f"{int(found[n]['state_bytes']) / 1000:,.0f} / {int(found[n]['grown_kb']) * 1.024:,.0f}"
            if n in found
            else "-"
            for n in counts
        ]
        lines.append([f"`{work[0]}`, {work[1]}", *cells])
    drawn = "".join("| " + " | ".join(line) + " |\n" for line in lines)
    days, commits = (" and ".join(sorted({row[key] for row in rows})) for key in ("date", "commit"))
    return f"{drawn}\n`python benchmarks/token_memory.py`; {rows[0]['cpu']}, {days}, commit {commits}.\n"


def measured() -> list[dict[str, str]]:
    """The rows on disk."""
    return results.read("token_memory")
