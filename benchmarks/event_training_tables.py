"""The tables of trained event networks, from results/event_models.csv and results/event_flow.csv."""

from __future__ import annotations

from statistics import mean, stdev

Rows = list[dict[str, str]]
GAINS = {
    "plain": ("CSNN", ""),
    "moved": ("CSNN, mirrored and shifted", "plain"),
    "dropped": ("CSNN, events dropped (EventDrop)", "plain"),
    "mixed": ("CSNN, areas of two clips mixed (MixArea)", "plain"),
    "guided": ("CSNN, dropped and mixed by saliency (EventRPG)", "plain"),
    "ta_plain": ("TA-SNN without its attention", ""),
    "ta": ("TA-SNN", "ta_plain"),
    "asa_plain": ("ASA-CSNN without its attention", ""),
    "asa": ("ASA-CSNN", "asa_plain"),
}
"""Labels of `event_gains.VARIANTS`, and what each is compared with."""
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


def gains(rows: Rows) -> str:
    """Each network and training beside itself without attention or augmentation."""
    if not rows:
        return "Not measured yet.\n"
    text = "| training | test accuracy, % | against the same without, points | seeds |\n|---|---|---|---|\n"
    of = {(row["variant"], row["seed"]): 100 * float(row["accuracy"]) for row in rows}
    for variant, (label, without) in GAINS.items():
        own = [row for row in rows if row["variant"] == variant]
        apart = [
            of[variant, row["seed"]] - of[without, row["seed"]] for row in own if (without, row["seed"]) in of
        ]
        gain = f"{mean(apart):+.1f} ({min(apart):+.1f} to {max(apart):+.1f})" if apart else ""
        if own:
            text += f"| {label} | {_spread(own, 'accuracy', 1, 100)} | {gain} | {_seeds(own)} |\n"
    first = rows[0]
    days, commits = (" and ".join(sorted({row[key] for row in rows})) for key in ("date", "commit"))
    return text + (
        f"\nsaccades_fashion_mini: {int(first['clips']):,} training clips, {first['epochs']} epochs, "
        f"{int(first['test_clips']):,} test clips; mean ± standard deviation, and the mean difference seed by seed "
        f"(lowest to highest). `python benchmarks/event_gains.py`, {first['cpu']}, {days}, commit {commits}.\n"
    )


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
