"""Write the tables of the README and of the docs from benchmarks/results/*.csv, so that no figure in them is typed by
hand.

Usage: python benchmarks/tables.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import mean, stdev

import audit_page
import early_tables
import engine_tables
import event_tables
import event_training_tables
import masked_tables
import memory_table
import neuron_tables
import recall_tables
import results
import spikellm_tables
import spikelm_tables
import video_tables
import watch_tables

MARK, ENGINE_MARK, MEMORY_MARK = "measured", "measured: engine", "measured: memory"
RECALL_MARK, PASSKEY_MARK = "measured: recall", "measured: passkey"
EVENTS_MARK, FUSION_MARK = "measured: representations", "measured: fusion"
MODELS_MARK, FLOW_MARK, GAINS_MARK = "measured: event models", "measured: flow", "measured: gains"
HEADS_MARK, CHANGES_MARK = "measured: heads", "measured: changes"
SEEDS, SPEED = "`python benchmarks/demo_seeds.py`", "`make bench`"


def table() -> str:
    """The lines between the marks."""
    seeds, speeds = results.read("demo_seeds"), results.read("speed")
    neurons = neuron_tables.readme_sources()
    rows = [*_seed_rows(seeds), *_speed_rows(speeds), *neuron_tables.readme_rows(neurons)]
    text = "| what | figure | command |\n|---|---|---|\n"
    text += "".join(
        f"| {what} | {figure or 'not measured yet'} | {command} |\n" for what, figure, command in rows
    )
    lines = [
        f"{what}: {_where(found)}"
        for what, found in (
            (f"The demo, mean and standard deviation over {len(seeds)} seeds", seeds),
            ("Images a second, median (lowest to highest)", speeds),
            ("Ratios to SpikingJelly 2.0, median (middle half of the rounds)", neurons),
        )
        if found
    ]
    if lines:
        text += "\n" + ".\n".join(lines) + ".\n"
    return text


def _where(rows: list[dict[str, str]]) -> str:
    """The machine, days and commits of these rows."""
    days, commits = (" and ".join(sorted({row[key] for row in rows})) for key in ("date", "commit"))
    return f"{rows[0]['cpu']}, {rows[0]['cores']} cores, {days}, commit {commits}"


def _seed_rows(rows: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    def spread(key: str, scale: float, unit: str) -> str:
        values = [scale * float(row[key]) for row in rows if row[key] != ""]
        if not values:
            return ""
        return f"{mean(values):.2f}{unit}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")

    differing = f"{sum(int(r['unequal']) for r in rows)} of {sum(int(r['integers']) for r in rows)}"
    verdicts = " / ".join(dict.fromkeys(f"{r['verdict']}, {r['analog']}" for r in rows))
    return [
        ("test accuracy, fp32", spread("accuracy_fp32", 100, " %"), SEEDS),
        ("test accuracy, integer program", spread("accuracy_program", 100, " %"), SEEDS),
        ("accuracy lost by integers", spread("points_lost", 1, " points"), SEEDS),
        ("same answer as fp32", spread("agreement", 100, " %"), SEEDS),
        ("integers unlike the fp64 twin's, all test images", differing if rows else "", SEEDS),
        ("verdict, analog layer", verdicts, SEEDS),
        ("the whole demo", spread("seconds", 1, " s"), SEEDS),
    ]


def _speed_rows(rows: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    wanted = [
        (what, "64")
        for what in ("training", "fp32 inference", "integer program on NumPy", "integer program, native")
    ]
    found = {(row["what"], row["batch"]): row for row in rows}
    lines = []
    for what, batch in wanted:
        row = found.get((what, batch))
        figure = (
            f"{float(row['images_per_s']):.0f} images/s ({float(row['low']):.0f} to {float(row['high']):.0f})"
            if row
            else ""
        )
        lines.append((f"{what}, batch {batch}", figure, SPEED))
    return lines


def main() -> None:
    """Rewrite the pages, or say which is out of date."""
    docs = results.ROOT / "docs"
    _fill(results.ROOT / "README.md", MARK, table())
    _fill(docs / "performance.md", MARK, neuron_tables.page(neuron_tables.measured()))
    engine = engine_tables.page(engine_tables.measured())
    choice = engine_tables.choice(results.read("engine_choice"))
    _fill(docs / "performance.md", ENGINE_MARK, "\n".join(part for part in (engine, choice) if part))
    _fill(docs / "how-to" / "pretrain.md", MARK, masked_tables.page(masked_tables.measured()))
    _fill(docs / "how-to" / "text.md", MEMORY_MARK, memory_table.page(memory_table.measured()))
    text = docs / "how-to" / "text.md"
    _fill(text, RECALL_MARK, recall_tables.mqar(results.read("associative_recall")))
    _fill(text, PASSKEY_MARK, recall_tables.passkey(results.read("passkey")))
    spiking = docs / "how-to" / "spikellm.md"
    _fill(spiking, MARK, spikellm_tables.page(spikellm_tables.measured()))
    _fill(spiking, MEMORY_MARK, spikellm_tables.memory(spikellm_tables.measured_memory()))
    _fill(docs / "how-to" / "spikelm.md", MARK, spikelm_tables.page(results.read("spikelm")))
    events = docs / "how-to" / "events.md"
    _fill(events, EVENTS_MARK, event_tables.page(results.read("event_representations")))
    _fill(events, FUSION_MARK, event_tables.fusion(results.read("event_fusion")))
    _fill(events, MODELS_MARK, event_training_tables.models(results.read("event_models")))
    _fill(
        docs / "how-to" / "event-data.md",
        GAINS_MARK,
        event_training_tables.gains(results.read("event_gains")),
    )
    flow = docs / "how-to" / "flow.md"
    _fill(flow, FLOW_MARK, event_training_tables.flow(results.read("event_flow")))
    _fill(docs / "how-to" / "anytime.md", MARK, early_tables.page(results.read("early_answers")))
    _fill(docs / "how-to" / "watch.md", MARK, watch_tables.page(results.read("streaming_latency")))
    video = docs / "how-to" / "video.md"
    _fill(video, HEADS_MARK, video_tables.heads(results.read("video_heads")))
    _fill(video, CHANGES_MARK, video_tables.changes(results.read("delta_video")))
    _fill(docs / "explanation" / "counters.md", MARK, audit_page.page(audit_page.measured()))


def _fill(path: Path, mark: str, text: str) -> None:
    """Put the text between `<!-- mark -->` and `<!-- /mark -->`."""
    old = path.read_text(encoding="utf-8")
    start, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->\n"
    before, _, rest = old.partition(start)
    _, _, after = rest.partition(end)
    new = before + start + text + end + after
    if "--check" in sys.argv and new != old:
        sys.exit(
            f"error: the tables of {path.name} are not those of benchmarks/results; run python benchmarks/tables.py"
        )
    if new != old:
        path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
