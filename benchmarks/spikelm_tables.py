"""The table of docs/how-to/spikelm.md, from results/spikelm.csv."""

from __future__ import annotations

from statistics import mean, stdev

NAMES = {"bbc_news": "BBC news, 5 classes", "movie_reviews": "movie-review snippets, 2 classes"}


def page(rows: list[dict[str, str]]) -> str:
    """The lines between the marks: accuracy beside that of the dense encoder."""
    if not rows:
        return "Not measured yet.\n"
    text = "| texts | form | seeds | test accuracy | points to the dense encoder | firing rate | audit |\n"
    text += "|---|---|---|---|---|---|---|\n"
    for data, form in dict.fromkeys((row["data"], row["form"]) for row in rows):
        found = [row for row in rows if (row["data"], row["form"]) == (data, form)]
        text += (
            f"| {NAMES[data]} | {form} | {len(found)} | {_spread(found, 'accuracy', 100, ' %')} | "
            f"{_lost(found, rows)} | {_spread(found, 'firing_rate', 1, '')} | {found[0]['verdict']} |\n"
        )
    one = rows[0]
    days, commits = (" and ".join(sorted({row[key] for row in rows})) for key in ("date", "commit"))
    options = " ".join(f"--{key} {one[key]}" for key in ("texts", "epochs", "context", "lr"))
    return (
        f"{text}\nPasses over {one['texts']} training texts of at most {one['context']} tokens: {one['epochs']}; test "
        f"texts: {one['test_texts']}. `{one['command']} {options}`; spread over seeds where there are several. "
        f"{one['cpu']}, {days}, commit {commits}.\n"
    )


def _spread(rows: list[dict[str, str]], key: str, scale: float, unit: str) -> str:
    values = [scale * float(row[key]) for row in rows if row[key]]
    if not values:
        return ""
    digits = 1 if unit else 3
    return f"{mean(values):.{digits}f}{unit}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else "")


def _lost(found: list[dict[str, str]], rows: list[dict[str, str]]) -> str:
    """Points below (or above) the dense encoder of the same texts and seeds."""
    dense = {row["seed"]: row for row in rows if (row["data"], row["form"]) == (found[0]["data"], "dense")}
    pairs = [(row, dense[row["seed"]]) for row in found if row["seed"] in dense and row["form"] != "dense"]
    if not pairs:
        return ""
    return f"{mean(100 * (float(a['accuracy']) - float(b['accuracy'])) for a, b in pairs):+.1f}"
