"""The trained language model of the package, decoded token by token: the engine against the same weights in PyTorch.

Usage: python benchmarks/language_decode.py [--rounds N] [--threads N] [--tokens N]

All read the test text of the plays, one token after the other, and keep their state; densities are the model's own.
PyTorch runs the fused network (norms folded) in as few operations as it takes; `stream` is the same network through
`spikedrive.Stream`, as `spikedrive generate` runs it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import torch
from language_stack import dynamic_int8
from torch import Tensor, nn

import spikedrive as sd
from spikedrive.data.text import load_tokens, open_tokenizer
from spikedrive.engine.measure.race import Spread, pinned, race, ratio

MODEL, TAG, DATA = "spikegpt_additive_6m", "shakespeare", "shakespeare"
TOKENS = 32
"""Read in one turn of a race; every turn goes on from the last."""


def rows(rounds: int = 15, threads: int = 1, tokens: int = TOKENS, **model: Any) -> list[dict[str, Any]]:
    """Milliseconds a token of the engine, of PyTorch in three forms, and ratios with their quartiles."""
    torch.set_num_threads(threads)
    deployed = sd.fuse(sd.create_model(MODEL, **(model or {"pretrained": TAG})).eval())
    program, plain = (
        sd.compile(deployed, torch.zeros(1, 1, dtype=torch.long)).stream(),
        PlainDecoder(deployed),
    )
    stream = sd.Stream(deployed, along="tokens")
    with pinned(threads):
        works = {
            "engine": reading(lambda token: program(token.numpy()), tokens),
            "fp32": reading(plain, tokens),
            "dynamic int8": reading(dynamic_int8(plain), tokens),
            "stream": reading(lambda token: stream(token[None]), tokens),
        }
        seconds = race(works, rounds)
    milliseconds = {name: [1e3 * s / tokens for s in found] for name, found in seconds.items()}
    ours = milliseconds.pop("engine")
    return [
        {
            "against": against, "weights": TAG if not model else "random",
            **{f"{who}_ms": Spread.of(values).median for who, values in (("ours", ours), ("theirs", theirs))},
            "ratio": ratio(theirs, ours).median, "ratio_low": ratio(theirs, ours).low,
               "ratio_high": ratio(theirs, ours).high,
            **{f"{who}_{end}": getattr(Spread.of(values), end)
               for who, values in (("ours", ours), ("theirs", theirs)) for end in ("low", "high")},
        }
        for against, theirs in milliseconds.items()
    ]  # fmt: skip


class PlainDecoder(nn.Module):
    """The fused network for one token after the other; the layers that read the same spikes are one layer."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        blocks: Any = model.get_submodule("blocks")
        self.table, self.head = model.get_submodule("table"), model.get_submodule("head")
        neuron: Any = model.get_submodule("neuron")
        self.levels = float(neuron.levels)
        mixers, feeds = [block.mixer for block in blocks], [block.feed for block in blocks]
        self.read: Any = nn.ModuleList(_joined([*mixer.charge, mixer.gate]) for mixer in mixers)
        self.write: Any = nn.ModuleList(mixer.output for mixer in mixers)
        self.expand: Any = nn.ModuleList(feed.expand for feed in feeds)
        self.reduce: Any = nn.ModuleList(feed.reduce for feed in feeds)
        groups = zip(mixers[0].charge, mixers[0].memory, strict=True)
        self.threshold = torch.cat([torch.full((w.out_features,), float(n.threshold)) for w, n in groups])
        self.membranes = [torch.zeros_like(self.threshold) for _ in mixers]

    def forward(self, token: Tensor) -> Tensor:
        """Logits (1, vocabulary) after one more token (1,)."""
        x = self.table(token)
        width = x.shape[-1]
        for i, (read, write, expand, reduce) in enumerate(
            zip(self.read, self.write, self.expand, self.reduce, strict=True)
        ):
            charge, gate = read(self._fire(x)).split(width, -1)
            h = torch.add(charge, self.membranes[i], alpha=0.5)
            fired = (h >= self.threshold).to(h)
            self.membranes[i] = torch.addcmul(h, fired, self.threshold, value=-1)
            # one level: rounding a half goes down
            x = x + write(fired.mul_(gate > 0.5))
            x = x + reduce(self._fire(expand(self._fire(x))))
        return self.head(self._fire(x))

    def _fire(self, x: Tensor) -> Tensor:
        return x.round().clamp_(0.0, self.levels)


def _joined(layers: Sequence[Any]) -> nn.Linear:
    """One linear layer that answers with all of these."""
    joined = nn.Linear(layers[0].in_features, sum(layer.out_features for layer in layers))
    with torch.no_grad():
        joined.weight.copy_(torch.cat([layer.weight for layer in layers]))
        joined.bias.copy_(torch.cat([layer.bias for layer in layers]))
    return joined


def reading(step: Callable[[Tensor], Any], tokens: int) -> Callable[[], None]:
    """A turn of a race: so many bytes of the text, one after the other, the next ones at every turn."""
    text = torch.from_numpy(load_tokens(DATA, "test", open_tokenizer("bytes")).tokens.astype("int64"))
    place = 0

    def turn() -> None:
        nonlocal place
        with torch.inference_mode():
            for token in text[place : place + tokens]:
                step(token[None])
        place += tokens

    return turn


def main() -> None:
    """Measure and print; benchmarks/engine.py writes the rows beside the others."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=TOKENS)
    options = parser.parse_args()
    for row in rows(options.rounds, options.threads, options.tokens):
        print("against {against}: {ours_ms:.3f} and {theirs_ms:.3f} ms a token, {ratio:.2f}x "
              "({ratio_low:.2f} to {ratio_high:.2f})".format(**row))  # fmt: skip


if __name__ == "__main__":
    main()
