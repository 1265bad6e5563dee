"""The table of docs/how-to/watch.md: how soon a live input answers, from results/streaming_latency.csv."""

from __future__ import annotations


def page(rows: list[dict[str, str]]) -> str:
    """The lines between the marks."""
    if not rows:
        return "Not measured yet.\n"
    lines = [["after a slice of 5 ms at 128 x 128", "median", "90 %", "99 %"], ["---"] * 4]
    for row in rows:
        if row["answers"]:
            times = (f"{float(row[key]):.2f} ms" for key in ("median_ms", "p90_ms", "p99_ms"))
            lines.append([row["what"].removeprefix("answers, "), *times])
    drawn = "".join("| " + " | ".join(line) + " |\n" for line in lines)
    first, memory = rows[0], rows[-1]
    minutes, share = float(first["training_seconds"]) / 60, float(first["accuracy"])
    held = [float(memory[key]) for key in ("memory_mb_first", "memory_mb_last")]
    return (
        f"{drawn}\n`{first['recipe']}`: {int(first['parameters']):,} parameters, {share:.1%} of "
        f"{int(float(first['test_clips']))} test clips (one seed), trained in {minutes:.0f} minutes; "
        f"{float(first['events_a_slice']):.0f} events a slice, {int(first['answers']):,} answers of each, one thread. "
        f"After a million events the engine's process held {held[0]:.0f} MB, after "
        f"{int(memory['events']) // 1_000_000} million {held[1]:.0f} MB. `python benchmarks/streaming_latency.py`; "
        f"{first['cpu']}, {first['cores']} cores, {first['date']}, commit {first['commit']}.\n"
    )
