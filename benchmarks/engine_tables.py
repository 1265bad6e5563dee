"""The engine's tables of docs/performance.md, from results/engine.csv, each figure beside its bar."""

from __future__ import annotations

import results

PICTURE = results.ROOT / "docs" / "assets" / "engine_roofline.svg"
Row = dict[str, str]
Found = dict[tuple[str, str, str, str], Row]

SHAPE = "`meta_spikeformer_spiking_15m` at 224"
INTEGER = f"{SHAPE}, integers 0..4, T = 1"
ATTENTION = "Q(KᵀV), 1024 tokens, 8 heads of 64, T = 4"
LANGUAGE = "language stack (12 layers, d = 512), token decode"
WORKS = {
    "binary/0.15": f"{SHAPE}, binary T = 4, density 0.15",
    "binary/0.05": f"{SHAPE}, binary T = 4, density 0.05",
    "integer/0.15": f"{INTEGER}, density 0.15",
    "integer/0.4": f"{INTEGER}, density 0.4",
    "published/0.15": "`meta_spikeformer_15m` as published, fused dense, density 0.15",
    "nano": "`meta_spikeformer_nano`, trained, on real images",
    "avx2/binary/0.15": f"{SHAPE}, binary T = 4, density 0.15, both sides capped at AVX2",
    "avx2/integer/0.15": f"{INTEGER}, density 0.15, both sides capped at AVX2",
    **{f"attention/{density}": f"{ATTENTION}, density {density}" for density in ("0.05", "0.15", "0.3")},
    **{f"language/{density}": f"{LANGUAGE}, density {density}" for density in ("0.1", "0.2")},
    "language/trained": "`spikegpt_additive_6m`, trained, token decode of real text",
}
RIVALS = {
    "fp32": "the same in PyTorch fp32",
    "plain": "the same in PyTorch fp32, plain neurons",
    "binary": "binary T = 4 in PyTorch fp32",
    "binary_plain": "binary T = 4 in PyTorch fp32, plain neurons",
    "ann": "dense twin, fp32",
    "bf16": "dense twin, bf16",
    "int8": "dense twin, static int8",
    "dynamic int8": "PyTorch dynamic int8",
    "stream": "the same through `spikedrive.Stream`",
}
# with AMX, without; where only one was set it holds for both
BARS = {
    ("binary/0.15", "fp32"): (11, 9), ("binary/0.15", "plain"): (11, 9), ("binary/0.05", "fp32"): (18, 18),
    ("binary/0.05", "plain"): (18, 18), ("integer/0.15", "binary"): (30, 19),
    ("integer/0.15", "binary_plain"): (30, 19),
    ("integer/0.15", "ann"): (5.5, 3.3), ("integer/0.15", "bf16"): (2.4, 2.4), ("attention/0.05", "fp32"): (4, 4),
    ("attention/0.15", "fp32"): (4, 4), ("attention/0.3", "fp32"): (4, 4), ("language/0.1", "fp32"): (14, 14),
    ("language/0.2", "fp32"): (9, 9), ("language/0.1", "dynamic int8"): (6.5, 6.5),
    ("language/0.2", "dynamic int8"): (4.5, 4.5),
}  # fmt: skip
MOST_MEMORY, MOST_LOSS = 1.3, 1.1
PLAIN = ("1", "1")
OTHERS = {("8", "1"): "batch 8, 1 thread", ("1", "2"): "batch 1, 2 threads", ("8", "2"): "batch 8, 2 threads"}


def page(rows: list[Row]) -> str:
    """The measured part on the engine: every processor's tables, and the layers on one of them."""
    parts = [part for cpu in dict.fromkeys(row["cpu"] for row in rows) for part in _processor(cpu, rows)]
    if parts and PICTURE.is_file():
        parts.append(
            f"![Additions a nanosecond of every layer against additions a byte](assets/{PICTURE.name})\n"
        )
    return "\n".join(parts) or "Not measured yet.\n"


def _processor(cpu: str, rows: list[Row]) -> list[str]:
    found = {
        (row["work"], row["against"], row["batch"], row["threads"]): row for row in rows if row["cpu"] == cpu
    }
    return [part for part in (_plain(cpu, found), _others(cpu, found), _memory(cpu, found)) if part]


def _plain(cpu: str, found: Found) -> str:
    """One image or token, one thread: the bars were set for this."""
    lines, used = [], []
    for work, title in WORKS.items():
        for against, rival in RIVALS.items():
            row = found.get((work, against, *PLAIN))
            if row is None:
                continue
            used.append(row)
            lines.append(
                f"| {title} | {rival} | {_span(row)} | {_bar(row)} | {_short(row['ours_ms'])} | "
                f"{_short(row['theirs_ms'])} | {row['form']} | {_density(row)} |"
            )
    head = "| ours | against | times as fast | bar | ours, ms | theirs, ms | their form | density |"
    return _table(f"### One image, one thread: {cpu}", head, lines, used)


def _others(cpu: str, found: Found) -> str:
    lines, used = [], []
    for work, title in WORKS.items():
        for against, rival in RIVALS.items():
            rows = [found.get((work, against, *place)) for place in OTHERS]
            if any(rows):
                used += [row for row in rows if row]
                cells = [_short(row["ratio"]) if row else "-" for row in rows]
                lines.append(f"| {title} | {rival} | {' | '.join(cells)} |")
    head = f"| ours | against | {' | '.join(OTHERS.values())} |"
    return _table(f"### Batches and threads, times as fast: {cpu}", head, lines, used)


def _memory(cpu: str, found: Found) -> str:
    lines, used = [], []
    for (work, _, batch, _), row in sorted(found.items()):
        if work.startswith("memory/"):
            used.append(row)
            met = "met" if float(row["ratio"]) <= MOST_MEMORY else "missed"
            lines.append(
                f"| {work.removeprefix('memory/')}, batch {batch} | {float(row['peak_mebibytes']):.0f} | "
                f"{float(row['needed_mebibytes']):.0f} | {float(row['ratio']):.2f} | at most {MOST_MEMORY}: {met} |"
            )
    head = "| program | peak, MiB | weights and live activations, MiB | ratio | bar |"
    return _table(f"### Memory: {cpu}", head, lines, used)


def choice(rows: list[Row]) -> str:
    """Lists or dense tiles: what the way that is taken loses to the quicker one (engine_choice.csv)."""
    lines = []
    for isa, kind in dict.fromkeys((row["isa"], row["kind"]) for row in rows):
        losses = [float(row["loss"]) for row in rows if (row["isa"], row["kind"]) == (isa, kind)]
        within = sum(loss <= MOST_LOSS for loss in losses)
        lines.append(f"| {isa} | {kind} | {len(losses)} | {within} | {max(losses):.3f} |")
    if not lines:
        return ""
    head = "| instruction set | spikes | layers and densities | within 10 % of the quicker way | largest loss, times |"
    where = ", ".join(dict.fromkeys(f"{row['cpu']}, {row['date']}, commit {row['commit']}" for row in rows))
    text = ["### Lists or dense tiles", "", head, "|" + "---|" * 5, *lines, ""]
    return "\n".join([*text, f"{where}; {rows[0]['rounds']} rounds; `python benchmarks/engine_choice.py`.\n"])


def _table(title: str, head: str, lines: list[str], rows: list[Row]) -> str:
    if not lines:
        return ""
    rule = "|" + "---|" * (head.count("|") - 1)
    return "\n".join([title, "", head, rule, *lines, "", _where(rows)]) + "\n"


def _where(rows: list[Row]) -> str:
    def each(key: str) -> str:
        return ", ".join(dict.fromkeys(row[key] for row in rows if row[key]))

    amx = {"no": "no AMX", "yes": "AMX"}
    return (
        f"{each('cpu')} ({', '.join(dict.fromkeys(amx[row['amx']] for row in rows))}), {each('cores')} cores; "
        f"instruction set {each('isa')}; torch {each('torch') or 'none'}; rounds: {each('rounds')}; {each('date')}; "
        f"commit {each('commit')}."
    )


def _span(row: Row) -> str:
    return f"{_short(row['ratio'])} ({_short(row['ratio_low'])} to {_short(row['ratio_high'])})"


def _bar(row: Row) -> str:
    bars = BARS.get((row["work"], row["against"]))
    if bars is None:
        return "none"
    bar = bars[0] if row["amx"] == "yes" else bars[1]
    return f"{bar:g}: {'met' if float(row['ratio']) >= bar else 'missed'}"


def _density(row: Row) -> str:
    """As measured in the program; integers have a mean value besides."""
    if not row["density"]:
        return row["asked_density"]
    told = f"{float(row['density']):.3f}"
    if row["rate"] and row["rate"] != row["density"]:
        told += f", mean value {float(row['rate']):.3f}"
    return told if row["weights"] == "random" else f"{told}, its own"


def _short(text: str) -> str:
    value = float(text)
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def measured() -> list[Row]:
    """The rows on disk."""
    return results.read("engine")
