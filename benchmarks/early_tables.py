"""The table of docs/how-to/anytime.md, from results/early_answers.csv."""

from __future__ import annotations

from statistics import mean


def page(rows: list[dict[str, str]]) -> str:
    """The lines between the marks of docs/how-to/anytime.md: each way to answer beside a fixed number of slices."""
    if not rows:
        return "Not measured yet.\n"
    text = (
        "| training | rule | accuracy, % | slices | fixed slices of equal accuracy | fewer slices | fewer events "
        "| best accuracy, % | seeds |\n|---|---|---|---|---|---|---|---|---|\n"
    )
    for training, rule in dict.fromkeys((row["training"], row["rule"]) for row in rows):
        own = [row for row in rows if (row["training"], row["rule"]) == (training, rule)]
        fixed = [f"{float(row['fixed_steps']):.0f}" for row in own]
        fewer = [1 - float(row["events"]) / float(row["fixed_events"]) for row in own]
        text += (
            f"| {training} | {rule} | {_range(own, 'accuracy', 100, 2)} | {_range(own, 'steps', 1, 2)} "
            f"| {' '.join(fixed)} "
            f"| {_range(own, 'saved', 100, 0)} % | {100 * mean(fewer):.0f} % "
            f"| {_range(own, 'best_accuracy', 100, 2)} | {' '.join(row['seed'] for row in own)} |\n"
        )
    days, commits = (" and ".join(sorted({row[key] for row in rows})) for key in ("date", "commit"))
    return text + (
        f"\nAt most "
        f"{max(float(row['minutes']) for row in rows):g} minutes a run on one thread under other load; mean (lowest to "
        f"highest). `python benchmarks/early_answers.py`, {rows[0]['cpu']}, {days}, commit {commits}.\n"
    )


def _range(rows: list[dict[str, str]], key: str, factor: float, digits: int) -> str:
    values = [factor * float(row[key]) for row in rows]
    between = f" ({min(values):.{digits}f} to {max(values):.{digits}f})" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{between}"
