"""From the proof to `Work`: what each operation of the model, and of its dense twin, computes and moves.

The dataflow is that of Lemaire and others 2022, written out for every operation.

- *Spikes and integers times weights.* The map is read once, packed. Each addition that a spike causes reads its
  weight, and reads and writes the sum that it adds to; so does each bias. An integer s is s additions.
- *A multiply-accumulate* (the dense twin, the analog first layer, what is left in a hybrid model) reads its weight,
  and keeps its sum in a register. A convolution reads the input anew for each, a matrix reads it once. Biases are
  read, and the result is written, once an element.
- *A product of two maps* has the second in the place of the weights; of two integers, the one that is not charged.
- *A neuron* reads its potential once a step, writes it once an update, and writes its spikes, packed.
- *Anything else that counts* reads its operands and writes its result once. A neuron that the audit takes as its
  equation moves what each operation of it does, which is an upper bound.
- *What counts nothing*, views and constants that fold, moves nothing.

The dense twin has an activation function in each neuron's place, applied before the result is written; a static
input is seen once, and all of its maps are real numbers.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

from spikedrive.auditing.bounds import Proof
from spikedrive.auditing.energy.work import Held, Stream, Work
from spikedrive.auditing.ledger import Event, Tally, integer_bits
from spikedrive.auditing.measure import Rates
from spikedrive.auditing.value import Value
from spikedrive.ops.domains import NEURON_OPS

COUNTED = (
    "additions", "multiplications", "functions", "shifts", "compares", "ands", "sums", "lookups", "membrane_updates",
)  # fmt: skip


@dataclass(frozen=True)
class Mover:
    """What all operations of one model share: what was proven and measured, T, and the paths of its neurons."""

    proof: Proof
    rates: Rates
    steps: int
    neurons: Collection[str] = ()

    def work(self, tally: Tally) -> Work:
        """The model's own work for one sample."""
        chosen = [min(group, key=self.rates.additions) for group in tally.events]
        counts = {key: getattr(tally, key) / self.rates.batch for key in COUNTED}
        caused = sum(map(self.rates.additions, chosen))
        counts["additions"] += caused
        # a layer that hears nothing still reads its map
        if not (chosen or any(counts.values())):
            return Work()
        if tally.node.op in NEURON_OPS:
            return Work(**counts, streams=self._neuron(tally))
        if not tally.dense_macs:
            return Work(**counts, streams=self._plain(tally, chosen, caused))
        spikes = sum(map(self.rates.spikes, chosen)) if "conv" in tally.node.op else 0.0
        executed = counts["multiplications"] + counts["additions"] - caused
        addressed = caused + (self._addressed(tally) if executed else 0.0)
        streams = self._products(tally, chosen, caused, executed)
        return Work(**counts, addressed=addressed, located=spikes, streams=streams)

    def dense(self, tally: Tally) -> Work:
        """The dense twin's."""
        macs = tally.dense_macs / self.rates.batch
        if macs:
            streams = self._products(tally, (), 0.0, macs, twin=True)
            return Work(multiplications=macs, addressed=self._addressed(tally, twin=True), streams=streams)
        counts = (tally.events, *(getattr(tally, key) for key in COUNTED))
        if not any(counts) or tally.node.op in NEURON_OPS or tally.node.module in self.neurons:
            return Work()
        return Work(streams=self._plain(tally, (), 0.0, twin=True))

    def _neuron(self, tally: Tally) -> tuple[Stream, ...]:
        out, seen = self._result(tally), tally.observed
        count = self._elements(out)
        updates = tally.membrane_updates / self.rates.batch
        spikes = None if seen is None else self.rates.spikes(seen)
        size = count / self.steps
        return (
            Stream("membrane", size, read=max(count, updates), written=updates, passes=self.steps),
            Stream("activations", size, written=count, bits=_bits(out), spikes=spikes, passes=self.steps),
        )

    def _plain(
        self, tally: Tally, chosen: Sequence[Event], caused: float, *, twin: bool = False
    ) -> tuple[Stream, ...]:
        lookups = tally.lookups / self.rates.batch
        streams = []
        for name, value in self._operands(tally):
            count = self._elements(value, twin=twin)
            read = min(count, lookups) if lookups else count
            streams.append(self._map(value, twin, read=read, spikes=self._spikes(name, chosen)))
        for value in self._constants(tally):
            read = lookups or float(value.count)
            streams.append(Stream("weights", value.count, read=read, passes=self.steps))
        out = self._result(tally)
        if chosen:
            return (*streams, self._sums(out, caused))
        return (*streams, self._map(out, twin, written=self._elements(out, twin=twin)))

    def _products(
        self, tally: Tally, chosen: Sequence[Event], caused: float, executed: float, *, twin: bool = False
    ) -> tuple[Stream, ...]:
        """Those of a weight, or of two maps: `caused` additions by spikes, `executed` products whatever fires."""
        out, weights = self._result(tally), [v for v in self._constants(tally) if v.rank > 1]
        weights = weights or ([] if len(self._operands(tally)) > 1 else self._constants(tally))
        written = self._elements(out, twin=twin)
        biases = written if self.proof.ledger.biased(tally.node.name) else 0.0
        streams: list[Stream] = []
        if weights:
            size = sum(v.count for v in weights)
            streams.append(Stream("weights", size, read=caused + executed, passes=self._passes(out, twin)))
        if biases:
            streams.append(Stream("biases", self._channels(out, weights), read=biases, passes=self.steps))
        charged = {e.node for e in chosen}
        for place, (name, value) in enumerate(self._operands(tally)):
            once = name in charged or (not charged and place == 0) or bool(weights)
            read = self._elements(value, twin=twin)
            if executed and weights and "conv" in tally.node.op:
                read = executed
            elif not once:
                read = (caused + executed) / max(1, len(self._operands(tally)) - 1)
            streams.append(self._map(value, twin, read=read, spikes=self._spikes(name, chosen)))
        if chosen:
            streams.append(self._sums(out, caused + biases))
        if executed:
            streams.append(self._map(out, twin, written=written))
        return tuple(streams)

    def _sums(self, out: Value, additions: float) -> Stream:
        """What spikes add to: read and written at each addition."""
        size = self._elements(out) / self.steps
        return Stream("membrane", size, read=additions, written=additions, bits=_bits(out), passes=self.steps)

    def _map(
        self,
        value: Value,
        twin: bool,
        *,
        read: float = 0.0,
        written: float = 0.0,
        spikes: float | None = None,
    ) -> Stream:
        holds: Held = "membrane" if value.kind in ("membrane", "count") and not twin else "activations"
        size = self._elements(value) / max(self.steps, value.steps)
        bits = None if twin else _bits(value)
        return Stream(holds, size, read, written, bits, None if twin else spikes, self._passes(value, twin))

    def _passes(self, value: Value, twin: bool) -> float:
        return max(1.0, self.steps / value.steps) if twin else self.steps

    def _spikes(self, name: str, chosen: Sequence[Event]) -> float | None:
        return next((self.rates.spikes(e) for e in chosen if e.node == name), None)

    def _addressed(self, tally: Tally, *, twin: bool = False) -> float:
        maps = [value for _, value in self._operands(tally)] + [self._result(tally)]
        return sum(self._elements(value, twin=twin) for value in maps)

    def _elements(self, value: Value, *, twin: bool = False) -> float:
        """Per sample; the twin sees what an encoder repeats once."""
        return value.count / self.rates.batch / (value.steps if twin else 1)

    def _result(self, tally: Tally) -> Value:
        value = self.proof.values[tally.node.name]
        return next(v for v in value if v is not None) if isinstance(value, tuple) else value

    def _operands(self, tally: Tally) -> list[tuple[str, Value]]:
        """What it reads and the input decides, each once."""
        return [(name, v) for name, v in self._read(tally) if v.base != "constant"]

    def _constants(self, tally: Tally) -> list[Value]:
        return [v for _, v in self._read(tally) if v.base == "constant" and v.count > 1]

    def _read(self, tally: Tally) -> list[tuple[str, Value]]:
        read = [(name, self.proof.values[name]) for name in dict.fromkeys(tally.node.refs)]
        return [(name, value) for name, value in read if isinstance(value, Value)]

    def _channels(self, out: Value, weights: Sequence[Value]) -> float:
        return float(weights[0].shape[0]) if weights else float(math.prod(out.shape[1:]))


def _bits(value: Value) -> int | None:
    """The width of an integer; None for real numbers, whose width a table says."""
    if value.base != "integer" or value.integers is None:
        return None
    return max(1, integer_bits(value.integers))


assert set(COUNTED) < {field.name for field in fields(Work)}
