"""A random spiking language model, decoded token by token: the engine against the same network in PyTorch.

Usage: python benchmarks/language_stack.py [--density D ...] [--rounds N] [--threads N] [--tokens N]

Twelve layers of 512 channels: a table of 8,192 tokens, in each layer a recurrent mixer with four projections and a
feed-forward net of two, and a head of 8,192 logits; 41.9 million weights in the projections, 4.2 million in the table.
Every projection reads spikes, and shortcuts add membranes. Weights are random, and the thresholds are set so that the
stated share of every projection's inputs are spikes.
"""

from __future__ import annotations

import argparse
import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import spikedrive as sd
from spikedrive.engine.measure.race import Spread, pinned, race, ratio
from spikedrive.engine.runtime import Program
from spikedrive.neurons import LIF

VOCABULARY, WIDTH, HIDDEN, LAYERS = 8192, 512, 2048, 12
DENSITIES = (0.1, 0.2)
TOKENS = 32
"""Decoded in one turn of a race; every turn goes on from the last with tokens of its own."""
HALVINGS = 18


def rows(density: float, rounds: int = 15, threads: int = 1, tokens: int = TOKENS) -> list[dict[str, Any]]:
    """Milliseconds a token of the engine, of PyTorch in fp32 and in dynamic int8, and ratios with their quartiles."""
    torch.set_num_threads(threads)
    model, reached = stack(density)
    program = sd.compile(model, torch.zeros(1, 1, dtype=torch.long))
    plain = PlainStack(model)
    with pinned(threads):
        works = {
            "engine": decoding(_engine(program), tokens),
            "PyTorch fp32": decoding(plain, tokens),
            "PyTorch dynamic int8": decoding(dynamic_int8(plain), tokens),
        }
        seconds = race(works, rounds)
    milliseconds = {name: [1e3 * s / tokens for s in found] for name, found in seconds.items()}
    ours = milliseconds.pop("engine")
    found = []
    for against, theirs in milliseconds.items():
        spread = ratio(theirs, ours)
        found.append(
            {
                "work": f"language stack of 12 x 512, token decode, density {density:g} ({reached:.3f} reached)",
                "against": against,
                "ours_ms": Spread.of(ours).median,
                "theirs_ms": Spread.of(theirs).median,
                "ratio": spread.median,
                "low": spread.low,
                "high": spread.high,
            }
        )
    return found


class Mixer(nn.Module):
    """A recurrent mixer: what k and v leave behind, let through where r fires too.

    *Equation*: c = LIF(LIF(K s) + LIF(V s)), which halves at each token and is not emptied by a spike, so that it fires
    for some tokens more; x + O (LIF(R s) AND c), where AND is a neuron of threshold 2 that keeps nothing.
    *Shapes*: x (T, B, C) -> (T, B, C).
    """

    def __init__(self, width: int, neuron: Callable[[], LIF] = LIF) -> None:
        super().__init__()
        self.neuron, self.both = neuron(), LIF(0.0, 2.0, decay_input=False)
        self.r, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.r_neuron, self.k_neuron, self.v_neuron = neuron(), neuron(), neuron()
        self.state = LIF(decay_input=False, reset="soft")

    def forward(self, x: Tensor) -> Tensor:
        s = self.neuron(x)
        state = self.state(self.k_neuron(self.k(s)) + self.v_neuron(self.v(s)))
        return x + self.o(self.both(self.r_neuron(self.r(s)) + state))


class FeedForward(nn.Module):
    """x + W2 LIF(W1 LIF(x)).

    *Shapes*: x (T, B, C) -> (T, B, C).
    """

    def __init__(self, width: int, hidden: int, neuron: Callable[[], LIF] = LIF) -> None:
        super().__init__()
        self.neuron, self.expand = neuron(), nn.Linear(width, hidden, bias=False)
        self.hidden, self.reduce = neuron(), nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.reduce(self.hidden(self.expand(self.neuron(x))))


class LanguageStack(nn.Module):
    """Token ids (T, B) to logits (T, B, vocabulary); neurons remember the tokens before."""

    input = "frames"

    def __init__(
        self, vocabulary: int = VOCABULARY, width: int = WIDTH, hidden: int = HIDDEN, layers: int = LAYERS
    ) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, width)
        blocks = [part for _ in range(layers) for part in (Mixer(width), FeedForward(width, hidden))]
        self.blocks = nn.Sequential(*blocks)
        self.neuron, self.head = LIF(), nn.Linear(width, vocabulary, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.neuron(self.blocks(self.table(ids))))


def stack(density: float, *, seed: int = 0, **sizes: int) -> tuple[LanguageStack, float]:
    """A random network whose projections read spikes of about this density, and the density that they read."""
    torch.manual_seed(seed)
    model = LanguageStack(**sizes).eval()
    ids = torch.randint(0, model.table.num_embeddings, (2, 48, 8))
    calibrate(model, ids[0], density)
    return model, read_density(model, ids[1])


@torch.no_grad()
def calibrate(model: LanguageStack, ids: Tensor, density: float) -> None:
    """Set the thresholds so that this share of the inputs of every projection are spikes; multiples of 1/1024.

    A state fires with the root of it, and the neuron that it meets in an AND as often as makes up for the rest.
    """
    mixers = [part for part in model.blocks if isinstance(part, Mixer)]
    targets = {neuron: density for neuron in model.modules() if isinstance(neuron, LIF)}
    targets |= {mixer.state: math.sqrt(density) for mixer in mixers}
    gates = {mixer.r_neuron: mixer.state for mixer in mixers}
    open_: dict[nn.Module, Tensor] = {}

    def set_threshold(neuron: LIF, arguments: tuple[Tensor, ...]) -> None:
        (potential,) = arguments
        gate = open_[gates[neuron]] if neuron in gates else 1.0
        low, high = 0.0, 2 * float(potential.abs().max())
        for _ in range(HALVINGS):
            neuron.threshold = (low + high) / 2
            busy = float((neuron.scan(potential, None)[0] * gate).mean()) > targets[neuron]
            low, high = (neuron.threshold, high) if busy else (low, neuron.threshold)
        neuron.threshold = max(round(1024 * high), 1) / 1024

    def keep(neuron: nn.Module, _: object, spikes: Tensor) -> None:
        open_[neuron] = spikes

    fixed = [mixer.both for mixer in mixers]
    hooks = [n.register_forward_pre_hook(set_threshold) for n in targets if n not in fixed]
    hooks += [mixer.state.register_forward_hook(keep) for mixer in mixers]
    model(ids)
    for hook in hooks:
        hook.remove()


@torch.no_grad()
def read_density(model: LanguageStack, ids: Tensor) -> float:
    """The share of weights of the projections whose input is a spike, over all tokens."""
    read = weights = 0.0

    def count(layer: nn.Linear, arguments: tuple[Tensor, ...]) -> None:
        nonlocal read, weights
        read += float(arguments[0].mean()) * layer.weight.numel()
        weights += layer.weight.numel()

    hooks = [m.register_forward_pre_hook(count) for m in model.modules() if isinstance(m, nn.Linear)]
    model(ids)
    for hook in hooks:
        hook.remove()
    return read / weights


class PlainStack(nn.Module):
    """The same network for one token after the other, in as few operations of PyTorch as it takes."""

    def __init__(self, model: LanguageStack) -> None:
        super().__init__()
        self.table, self.head = model.table, model.head
        self.mixers: Any = nn.ModuleList(
            nn.ModuleList([m.r, m.k, m.v, m.o]) for m in model.blocks if isinstance(m, Mixer)
        )
        self.nets: Any = nn.ModuleList(
            nn.ModuleList([f.expand, f.reduce]) for f in model.blocks if isinstance(f, FeedForward)
        )
        neurons = [n for path, n in model.named_modules() if isinstance(n, LIF) and not path.endswith("both")]
        self.thresholds = [neuron.threshold for neuron in neurons]
        self.reset()

    def reset(self) -> None:
        """Forget the tokens before."""
        self.membranes = [torch.zeros(()) for _ in self.thresholds]

    def forward(self, token: Tensor) -> Tensor:
        """Logits (1, vocabulary) after one more token (1,)."""
        place = iter(range(len(self.thresholds)))
        x = self.table(token)
        for (r, k, v, o), (expand, reduce) in zip(self.mixers, self.nets, strict=True):
            s = self._fire(next(place), x).to(x)
            fired = self._fire(next(place), r(s))
            both = self._fire(next(place), k(s)).to(x) + self._fire(next(place), v(s))
            x = x + o((fired & self._remember(next(place), both)).to(x))
            s = self._fire(next(place), x).to(x)
            x = x + reduce(self._fire(next(place), expand(s)).to(x))
        return self.head(self._fire(next(place), x).to(x))

    def _fire(self, place: int, x: Tensor) -> Tensor:
        h = torch.add(x, self.membranes[place]).mul_(0.5)
        fired = h >= self.thresholds[place]
        self.membranes[place] = h.masked_fill_(fired, 0.0)
        return fired

    def _remember(self, place: int, x: Tensor) -> Tensor:
        h = torch.add(x, self.membranes[place], alpha=0.5)
        fired = h >= self.thresholds[place]
        self.membranes[place] = h.sub_(fired.to(h), alpha=self.thresholds[place])
        return fired


def dynamic_int8(net: nn.Module) -> nn.Module:
    """Its linear layers with 8-bit weights, and 8-bit inputs whose range is found at each call."""
    torch.backends.quantized.engine = "fbgemm"
    with warnings.catch_warnings():
        # PyTorch moves this part into a package of its own, and says so at every call
        warnings.simplefilter("ignore")
        quantised = torch.ao.quantization.quantize_dynamic(copy.deepcopy(net), {nn.Linear}, dtype=torch.qint8)
    return quantised


def decoding(step: Callable[[Tensor], Any], tokens: int) -> Callable[[], None]:
    """A turn of a race: so many tokens, one after the other, other ones at every turn."""
    chance = torch.Generator().manual_seed(0)

    def turn() -> None:
        with torch.inference_mode():
            for token in torch.randint(0, VOCABULARY, (tokens, 1), generator=chance):
                step(token)

    return turn


def _engine(program: Program) -> Callable[[Tensor], Any]:
    stream = program.stream()
    return lambda token: stream(token.numpy())


def main() -> None:
    """Measure and print; benchmarks/engine.py writes the rows beside the others."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--density", type=float, nargs="+", default=DENSITIES)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=TOKENS)
    options = parser.parse_args()
    for density in options.density:
        for row in rows(density, options.rounds, options.threads, options.tokens):
            print("{work}, against {against}: {ours_ms:.3f} and {theirs_ms:.3f} ms a token, {ratio:.2f}x "
                  "({low:.2f} to {high:.2f})".format(**row))  # fmt: skip


if __name__ == "__main__":
    main()
