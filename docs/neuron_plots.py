"""Small pictures of neurons and surrogates, as SVG that takes the page's own colours.

Inline: text and axes are `currentColor`, so that a page is as legible in the dark as in the light.
"""

from __future__ import annotations

import inspect
import io

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils import _pytree as pytree

from spikedrive.cli.neurons import Card, example, inputs_of
from spikedrive.neurons import Neuron, get_neuron
from spikedrive.ops.surrogate import Surrogate
from spikedrive.reports.style import DENSE, DENSITY, NEUTRAL, SPIKING, VALIDATION

STEPS = 64
# stands for the page's text colour until the picture is written
INK = "#010203"
STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "spikedrive", "font.family": "sans-serif", "font.size": 9,
    "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.edgecolor": NEUTRAL,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8,
}  # fmt: skip
STATE_COLOURS = (SPIKING, DENSE, DENSITY)
MOST_STATES = 3


def standard_input() -> Tensor:
    """Silence, a weak current, silence, a strong one, silence, one the other way: (T, 1, 1)."""
    x = torch.zeros(STEPS, 1, 1)
    x[6:26], x[32:44], x[50:58] = 0.6, 1.2, -0.9
    return x


def neuron_picture(card: Card) -> str:
    """Input, states after each step and output of one element."""
    neuron = _long_enough(card).eval()
    x, gain = _strong_enough(neuron, card)
    y, states = _recorded(neuron, x)
    shown = dict(list(zip(card.states, states, strict=False))[:MOST_STATES]) if states else {}
    rows = 2 + len(shown)
    with mpl.rc_context(STYLE):
        height = 0.9 + 0.85 * rows
        figure = Figure(figsize=(7.4, height))
        # margins in inches: to find them out would take longer than to draw
        figure.subplots_adjust(
            left=0.6 / 7.4, right=0.995, top=1 - 0.12 / height, bottom=0.45 / height, hspace=0.2
        )
        axes = figure.subplots(rows, 1, sharex=True, height_ratios=[0.7, *[1.2] * len(shown), 0.8])
        steps = range(len(x))
        axes[0].fill_between(steps, x[:, 0, 0], step="mid", color=NEUTRAL, alpha=0.45, linewidth=0)
        axes[0].set_ylabel("input" if gain == 1 else f"input\n({gain:g} times)")
        for axis, colour, (name, values) in zip(axes[1:], STATE_COLOURS, shown.items(), strict=False):
            axis.plot(steps, values, color=colour, linewidth=1.4)
            axis.set_ylabel(name)
        threshold = getattr(neuron, "threshold", None)
        if isinstance(threshold, float) and card.states[:1] == ("v",):
            axes[1].axhline(threshold, color=NEUTRAL, linewidth=0.9, linestyle=(0, (4, 3)))
            axes[1].annotate("threshold", (1, threshold), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                             fontsize=8, color=NEUTRAL)  # fmt: skip
        _draw_output(axes[-1], y, graded=card.domain is None)
        axes[-1].set_xlabel("step")
        axes[-1].set_xlim(-0.5, len(x) - 0.5)
        for axis in axes:
            axis.tick_params(bottom=axis is axes[-1])
            axis.yaxis.set_label_coords(-0.06, 0.5)
        return _svg(figure, f"{card.name}: input, state and output at each of {len(x)} steps")


def surrogate_picture(name: str, alpha: float) -> str:
    """Its slope against the distance of the membrane from the threshold."""
    u = torch.linspace(-2, 2, 321)
    slope = Surrogate(name, alpha).gradient(u)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.7, 0.75))
        axis = figure.add_axes((0.2, 0.24, 0.77, 0.7))
        axis.fill_between(u, slope, color=SPIKING, alpha=0.25, linewidth=0)
        axis.plot(u, slope, color=SPIKING, linewidth=1.2)
        axis.axvline(0, color=NEUTRAL, linewidth=0.6)
        top = float(slope.max())
        axis.set(xlim=(-2, 2), xticks=[-2, 0, 2], yticks=[0, top], yticklabels=["0", f"{top:.2g}"])
        axis.tick_params(labelsize=7, length=2, pad=1)
        return _svg(figure, f"{name}: slope from -2 to 2 around the threshold")


def _long_enough(card: Card) -> Neuron:
    """One that is bound to a number of steps is made for as many as are drawn."""
    neuron = example(card.name)
    if getattr(neuron, "steps", None) and "steps" in inspect.signature(type(neuron)).parameters:
        torch.manual_seed(0)
        return get_neuron(card.name)(steps=STEPS)
    return neuron


def _strong_enough(neuron: Neuron, card: Card) -> tuple[Tensor, float]:
    """The standard input, stronger where a neuron of other units would say nothing."""
    for gain in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0):
        x = (standard_input() * gain).expand(-1, -1, inputs_of(neuron))
        if card.domain is None or neuron(x).count_nonzero() > 2:
            return x, gain
    return x, gain


@torch.no_grad()
def _recorded(neuron: Neuron, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The output (T,) of the first element, and each of its states after each step (T,)."""
    if neuron.refuses_streaming:
        return neuron(x)[:, 0, 0], []
    state, outputs, states = neuron.rest(x), [], []
    for x_t in x.split(1):
        y, state = neuron.scan(x_t, state)
        outputs.append(y[0, 0, 0])
        tensors = [leaf for leaf in pytree.tree_leaves(state) if isinstance(leaf, Tensor)]
        states.append([leaf.flatten()[-1] if leaf.numel() else torch.zeros(()) for leaf in tensors])
    return torch.stack(outputs), [torch.stack(each) for each in zip(*states, strict=True)]


def _draw_output(axis: Axes, y: Tensor, *, graded: bool) -> None:
    axis.axhline(0, color=NEUTRAL, linewidth=0.6)
    if graded:
        axis.plot(y, color=VALIDATION, linewidth=1.4)
    else:
        fired = y.nonzero().flatten()
        axis.vlines(fired, 0, y[fired], color=VALIDATION, linewidth=2.2)
        low, high = min(0.0, float(y.min())), max(0.0, float(y.max()))
        axis.set_yticks(sorted({low, 0.0, high}))
    axis.set_ylabel("output")


def _svg(figure: Figure, described: str) -> str:
    written = io.StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    picture = written.getvalue().partition("<svg")[2].replace(INK, "currentColor")
    # a picture without the fixed height, so that it shrinks with the page
    head, _, body = picture.partition(">")
    head = " ".join(part for part in head.split() if not part.startswith("height="))
    # small ones stand in a table, whose columns would squeeze them
    size = f"min-width: {figure.get_figwidth():g}in" if figure.get_figwidth() < 2 else "max-width: 100%"
    label = f'role="img" aria-label="{described}" style="{size}; height: auto"'
    lines = [line for line in body.splitlines() if line.strip()]
    return f"<svg {head} {label}>" + "\n".join(lines)
