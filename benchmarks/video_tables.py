"""The tables of docs/how-to/video.md, from results/video_heads.csv and results/delta_video.csv."""

from __future__ import annotations

from statistics import mean

WHAT = {"video": "class of a clip", "segment": "class of a pixel, mIoU", "pose": "key points within 2 pixels"}
KEY = {"video": "accuracy", "segment": "miou", "pose": "accuracy"}


def heads(rows: list[dict[str, str]]) -> str:
    """The lines between the marks: each head beside an answer that does not look."""
    if not rows:
        return "Not measured yet.\n"
    lines = [
        "| head | test split | the best constant answer | optimizer steps | seeds |",
        "|---|---|---|---|---|",
    ]
    for head, what in WHAT.items():
        own = [row for row in rows if row["head"] == head]
        if not own:
            continue
        cells = [_share(own, KEY[head]), _share(own, f"blind_{KEY[head]}")]
        if head == "pose":
            for i, key in enumerate(("pixel_error", "blind_pixel_error")):
                cells[i] += f", off by {mean(float(row[key]) for row in own):.1f} pixels"
        lines.append(f"| {what} | {cells[0]} | {cells[1]} | {own[0]['steps']} | {len(own)} |")
    return "\n".join(lines) + "\n" + _foot(rows, "heads")


def changes(rows: list[dict[str, str]]) -> str:
    """The lines between the marks: what is sent at each threshold."""
    if not rows:
        return "Not measured yet.\n"
    lines = [
        "| threshold | weight of the loss | mIoU | activations not zero | changes not zero | fewer | seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    settings = dict.fromkeys((row["threshold"], row["weight"]) for row in rows)
    for threshold, weight in sorted(settings, key=lambda s: (float(s[0]), float(s[1]))):
        own = [row for row in rows if (row["threshold"], row["weight"]) == (threshold, weight)]
        cells = [_share(own, key) for key in ("miou", "hidden_activations", "hidden_changes")]
        fewer = f"{mean(float(row['hidden_fewer']) for row in own):.1f} times"
        lines.append(f"| {threshold} | {weight} | {' | '.join(cells)} | {fewer} | {len(own)} |")
    return "\n".join(lines) + "\n" + _foot(rows, "delta")


def _share(rows: list[dict[str, str]], key: str) -> str:
    values = [100 * float(row[key]) for row in rows]
    between = f" ({min(values):.1f} to {max(values):.1f})" if len(values) > 1 else ""
    return f"{mean(values):.1f} %{between}"


def _foot(rows: list[dict[str, str]], part: str) -> str:
    days, commits, cpus = (
        " and ".join(sorted({row[key] for row in rows})) for key in ("date", "commit", "cpu")
    )
    return f"\n`python benchmarks/video_heads.py {part}`, {cpus}, {days}, commit {commits}.\n"
