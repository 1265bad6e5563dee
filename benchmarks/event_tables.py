"""The table of docs/how-to/events.md: events a second, from results/event_representations.csv."""

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
