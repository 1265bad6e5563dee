"""The tables of trained event networks, from results/event_models.csv and results/event_flow.csv."""

from __future__ import annotations

from statistics import mean, stdev

Rows = list[dict[str, str]]
FLOW_NAMES = {"snn": "spiking", "lstm": "LSTM twin", "none": "no memory"}


def models(rows: Rows) -> str:
    """Each network and its ReLU twin: accuracy, density, additions, multiplications and energy."""
    if not rows:
        return "Not measured yet.\n"
    text = (
        "| network | parameters | seeds | test accuracy, % | density | additions | multiplications | energy, µJ "
        "| verdict |\n|---|---|---|---|---|---|---|---|---|\n"
    )
    for name, twin in dict.fromkeys((row["model"], row["twin"]) for row in rows):
        own = [row for row in rows if (row["model"], row["twin"]) == (name, twin)]
        label = "its ReLU twin" if twin == "True" else f"`{name}`"
        text += (
            f"| {label} | {int(own[0]['parameters']):,} | {_seeds(own)} | {_spread(own, 'accuracy', 1, 100)} "
            f"| {_spread(own, 'density', 3)} | {_millions(own, 'additions')} | {_millions(own, 'multiplications')} "
            f"| {_spread(own, 'microjoules', 1)} | {own[0]['verdict']} |\n"
        )
    first = rows[0]
    what = (
        f"{first['data']}: {int(first['clips']):,} training clips, {first['epochs']} epochs, "
        f"{int(first['test_clips']):,} test clips"
    )
    return text + _foot(rows, f"{what}; `python benchmarks/event_models.py`")


def flow(rows: Rows) -> str:
    """Each cell: endpoint and angular error, density and energy."""
    if not rows:
        return "Not measured yet.\n"
    text = (
        "| cell | parameters | seeds | AEE, pixels per step | angular error, degrees | density | additions "
        "| multiplications | energy, µJ | verdict |\n|---|---|---|---|---|---|---|---|---|---|\n"
    )
    for cell in dict.fromkeys(row["cell"] for row in rows):
        own = [row for row in rows if row["cell"] == cell]
        text += (
            f"| {FLOW_NAMES[cell]} | {int(own[0]['parameters']):,} | {_seeds(own)} | {_spread(own, 'aee', 3)} "
            f"| {_spread(own, 'angle', 1)} | {_spread(own, 'density', 3)} | {_millions(own, 'additions')} "
            f"| {_millions(own, 'multiplications')} | {_spread(own, 'microjoules', 1)} | {own[0]['verdict']} |\n"
        )
    text += f"| an answer of zero | 0 | | {float(rows[0]['still']):.3f} | | | | | | |\n"
    return text + _foot(rows, "`python benchmarks/event_flow.py`")


def _foot(rows: Rows, what: str) -> str:
    days, commits = (" and ".join(sorted({row[key] for row in rows})) for key in ("date", "commit"))
    longest = max(float(row["minutes"]) for row in rows)
    tables = " and ".join(sorted({row["table"] for row in rows}))
    return (
        f"\n{what}. Mean ± standard deviation over the seeds; operations and energy (table {tables}) of one clip, "
        f"of the deployed form. At most {longest:g} minutes a run, one thread of an {rows[0]['cpu']} under other load, "
        f"{days}, commit {commits}.\n"
    )


def _seeds(rows: Rows) -> str:
    return " ".join(row["seed"] for row in rows)


def _millions(rows: Rows, key: str) -> str:
    return f"{mean(float(row[key]) for row in rows) / 1e6:.2f} M"


def _spread(rows: Rows, key: str, digits: int, factor: float = 1) -> str:
    values = [factor * float(row[key]) for row in rows if row[key]]
    if not values:
        return "-"
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"
