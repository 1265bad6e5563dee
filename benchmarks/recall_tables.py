"""The tables of docs/how-to/text.md: who recalls, from results/associative_recall.csv and results/passkey.csv."""

from __future__ import annotations

from statistics import mean


def mqar(rows: list[dict[str, str]]) -> str:
    """The lines between the marks: values recalled, a mixer a line."""
    if not rows:
        return "Not measured yet.\n"
    lines = [["mixer", "values recalled, mean (lowest to highest)", "seeds", "parameters"], ["---"] * 4]
    for name in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == name]
        found = _spread([row["accuracy"] for row in own])
        lines.append([name, found, str(len(own)), f"{int(own[0]['parameters']):,}"])
    return _drawn(lines) + _foot(rows, "mqar")


def passkey(rows: list[dict[str, str]]) -> str:
    """The lines between the marks: whole numbers recalled, by the length of the text."""
    if not rows:
        return "Not measured yet.\n"
    lengths = sorted({int(row["length"]) for row in rows})
    head = ["numbers recalled in texts of", *(f"{n:,} tokens" for n in lengths), "seeds"]
    lines = [head, ["---"] * len(head)]
    for name in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == name]
        cells = [_spread([row["all_right"] for row in own if int(row["length"]) == n]) for n in lengths]
        lines.append([name, *cells, str(len({row["seed"] for row in own}))])
    return _drawn(lines) + _foot(rows, "passkey")


def _spread(values: list[str]) -> str:
    shares = [100 * float(value) for value in values]
    if not shares:
        return "-"
    between = f" ({min(shares):.0f} to {max(shares):.0f})" if len(shares) > 1 else ""
    return f"{mean(shares):.0f} %{between}"


def _drawn(lines: list[list[str]]) -> str:
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _foot(rows: list[dict[str, str]], task: str) -> str:
    days, commits = (" and ".join(sorted({row[key] for row in rows})) for key in ("date", "commit"))
    steps = " and ".join(sorted({row["steps"] for row in rows}))
    return (
        f"\n{steps} steps each, by chance {float(rows[0]['chance']):.1%}; `python benchmarks/associative_recall.py "
        f"{task}`; {rows[0]['cpu']}, {days}, commit {commits}.\n"
    )
