"""The tables of docs/how-to/events.md, from results/event_representations.csv and results/event_fusion.csv."""

from __future__ import annotations


def page(rows: list[dict[str, str]]) -> str:
    """The lines between the marks: millions of events a second by who makes the tensor, and the sensor."""
    if not rows:
        return "Not measured yet.\n"
    sensors = list(dict.fromkeys(row["sensor"] for row in rows))
    lines = [["million events a second of one core", *sensors], ["---"] * (1 + len(sensors))]
    for what, who in dict.fromkeys((row["what"], row["who"]) for row in rows):
        found = {row["sensor"]: row for row in rows if (row["what"], row["who"]) == (what, who)}
        cells = [
            f"{found[name]['million_events_per_s']} ({found[name]['low']} to {found[name]['high']})"
            for name in sensors
        ]
        lines.append([f"{what}, {who}", *cells])
    drawn = "".join("| " + " | ".join(line) + " |\n" for line in lines)
    days, commits = (" and ".join(sorted({row[key] for row in rows})) for key in ("date", "commit"))
    first, loads = rows[0], [float(row["load"]) for row in rows]
    return (
        f"{drawn}\nMedian of {first['rounds']} interleaved rounds (middle half), seconds of the processor, "
        f"{int(first['events']) / 1e6:g} million events at random places, {first['steps']} steps, one clip. "
        f"`python benchmarks/event_representations.py`; {first['cpu']}, {first['cores']} cores, "
        f"load {min(loads):g} to {max(loads):g}, {days}, commit {commits}.\n"
    )


def fusion(rows: list[dict[str, str]]) -> str:
    """The same for results/event_fusion.csv: accuracy by cameras, mean over seeds with the lowest and highest."""
    if not rows:
        return "Not measured yet.\n"
    text = "| model | cameras | right | expected at best | colour | way |\n|---|---|---|---|---|---|\n"
    for model, cameras in dict.fromkeys((row["model"], row["cameras"]) for row in rows):
        own = [row for row in rows if (row["model"], row["cameras"]) == (model, cameras)]
        cells = [_spread([float(row[key]) for row in own]) for key in ("accuracy", "colour", "way")]
        best = f"{float(own[0]['ceiling']):.1%}"
        text += f"| `{model}` | {cameras} | {cells[0]} | {best} | {cells[1]} | {cells[2]} |\n"
    days, commits = (" and ".join(sorted({row[key] for row in rows})) for key in ("date", "commit"))
    first, seeds = rows[0], ", ".join(sorted({row["seed"] for row in rows}))
    return (
        f"{text}\nOf {first['test_clips']} test clips, {first['clips']} to learn from, {first['epochs']} epochs; mean "
        f"(lowest to highest) where there are several seeds, here {seeds}. `python benchmarks/event_fusion.py`; "
        f"{first['cpu']}, {days}, commit {commits}.\n"
    )


def _spread(values: list[float]) -> str:
    middle = sum(values) / len(values)
    return f"{middle:.1%}" if len(values) == 1 else f"{middle:.1%} ({min(values):.1%} to {max(values):.1%})"
