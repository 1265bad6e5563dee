"""Makes the pages of the neurons from the code, so that they cannot disagree.

One page for each registered neuron; the tables of the pages in docs/neurons stand where their marks are.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from neuron_plots import STEPS, neuron_picture, surrogate_picture

from spikedrive.cli.neurons import COLUMNS, SIZE, Card, card, every_name
from spikedrive.interop.nir import MAPPINGS
from spikedrive.ops.surrogate import table as surrogates

SECTION = "Neurons"


def on_config(config: Any) -> Any:
    """Put a page for each neuron behind those of the section that are written by hand."""
    (section,) = (entry[SECTION] for entry in config.nav or [] if SECTION in entry)
    section.append({"Each neuron": [{one.name: _path(one.name)} for one in _cards()]})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages."""
    from mkdocs.structure.files import File

    for one in _cards():
        files.append(File.generated(config, _path(one.name), content=_page(one)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its marks replaced by tables."""
    for mark, fill in FILLS.items():
        if mark in markdown:
            markdown = markdown.replace(mark, fill())
    return markdown


@cache
def _cards() -> list[Card]:
    return [card(name) for name in every_name()]


def _path(name: str) -> str:
    return f"neurons/{name.lower()}.md"


def _page(one: Card) -> str:
    summary, _, details = one.docstring.partition("\n")
    sizes = f", and {SIZE} for each size" if one.cell else ""
    facts = [
        ("emits", one.domain or "real numbers, which the next layer multiplies"),
        ("carries", ", ".join(f"`{state}`" for state in one.states) or "nothing"),
        ("learns", ", ".join(f"`{path}`" for path in one.learned) or "nothing"),
        ("streams", f"no: {one.refuses_streaming}" if one.refuses_streaming else "yes"),
        ("at zero input", "silent" if one.silent_at_zero else "fires by itself"),
        ("NIR", f"`{one.nir.node}`: {one.nir.conversion}" if one.nir.node else f"none: {one.nir.conversion}"),
        ("code", f"`src/{one.source}`"),
    ]
    kind = "cell" if one.cell else "neuron"
    return f"""# {one.name}

{summary}

```python
{_call(one)}
```

<div class="neuron">{neuron_picture(one)}</div>
{_caption(one)}

{_run_in_heads(details)}

## With its default arguments{sizes}

{chr(10).join(f"- **{what}**: {said}" for what, said in facts)}

One step of one {"feature" if one.cell else "element"} of this {kind} takes:

{_table(COLUMNS, [[_count(getattr(one.cost, name)) for name in COLUMNS]])}
"""


def _call(one: Card) -> str:
    """The constructor as one would write it, an argument a line where it is long."""
    line = f"{one.name}{one.signature}"
    if len(line) <= 88:
        return line
    arguments = re.sub(r", (?=\*|\w+(=|,|\)|$))", ",\n    ", one.signature[1:-1])
    return f"{one.name}(\n    {arguments},\n)"


def _caption(one: Card) -> str:
    """What is drawn with random weights should say so."""
    return f"\n*Drawn for {STEPS} steps, with the weights that it starts from.*\n" if one.learned else ""


def _run_in_heads(details: str) -> str:
    """Each part of a docstring as a paragraph of its own, and its examples as code."""
    parted = re.sub(r"^\*(\w[\w ]*)\*", r"\n**\1**", details, flags=re.M)
    lines, inside = [], False
    for line in parted.splitlines():
        if line.startswith(">>>") and not inside:
            lines += ["", "```pycon"]
            inside = True
        elif inside and not line.strip():
            lines.append("```")
            inside = False
        lines.append(line)
    return "\n".join([*lines, "```"] if inside else lines)


def _overview() -> str:
    rows = [
        (
            _link(one), one.docstring.partition("\n")[0].rstrip("."), one.domain or "real numbers",
            "no" if one.refuses_streaming else "yes", one.nir.node or "",
        )
        for one in _cards()
    ]  # fmt: skip
    return _table(("neuron", "what it is", "emits", "streams", "NIR"), rows)


def _costs() -> str:
    rows = [(_link(one), *(_count(getattr(one.cost, name)) for name in COLUMNS)) for one in _cards()]
    return _table(("neuron", *COLUMNS), rows)


def _surrogates() -> str:
    rows = [
        (
            surrogate_picture(name, alpha).replace("\n", " "),
            f"**{name}**<br>`{equation}`",
            f"{alpha:g}",
            original,
        )
        for name, equation, alpha, original in surrogates()
    ]
    return _table(("slope", "equation", "alpha", "in the originals"), rows)


def _nir() -> str:
    return _table(("here", "NIR", "conversion"), [(n, m.node, m.conversion) for n, m in MAPPINGS.items()])


def _link(one: Card) -> str:
    return f"[{one.name}]({one.name.lower()}.md)"


def _count(number: float) -> str:
    return f"{number:.3g}" if number else "-"


def _table(header: Any, rows: Any) -> str:
    lines = [" | ".join(header), "|".join("---" for _ in header), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


FILLS = {
    "<!-- every neuron -->": _overview,
    "<!-- every cost -->": _costs,
    "<!-- every surrogate -->": _surrogates,
    "<!-- every mapping -->": _nir,
}
