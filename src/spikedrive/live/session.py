"""One live input of a network: a slice of events in, an answer out."""

from __future__ import annotations

import time
from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spikedrive.blocks import MeanOverTime
from spikedrive.errors import ConfigError
from spikedrive.state import run

if TYPE_CHECKING:
    from spikedrive.data.events import Slice
    from spikedrive.live.network import Network


@dataclass(frozen=True)
class Answer:
    """What a network says after one more slice.

    *Shapes*: scores (K,), 0 to 1, their sum 1.
    *Units*: `time` in microseconds of the recording's clock, the end of the slice; `seconds` from the complete slice to
    the scores; `joules` of this slice by the meter's table, None without a meter; `firing_rate` in spikes per neuron of
    this slice, None without a meter, or where no neuron sends spikes.
    """

    time: int
    events: int
    scores: np.ndarray
    seconds: float
    joules: float | None
    firing_rate: float | None


class Session:
    """The state of one live input. Several may share one network, each in a thread of its own; each answers as if it
    were alone.

    *Equation*: scores = softmax of the mean of the logits of the last `slices` slices, of all so far while they are
    fewer: the network's own mean over its steps, for as many.
    *Raises*: ConfigError for slices below 1.
    """

    def __init__(self, network: Network, *, slices: int) -> None:
        if slices < 1:
            raise ConfigError(
                f"Session got slices={slices}; it takes at least 1, those that an answer is about. Leave it out for as "
                "many as the network learned with."
            )
        self.network, self.meter = network, network.meter()
        self._last: deque[np.ndarray] = deque(maxlen=slices)
        self._stream = None if network.program is None else network.program.stream()
        self._sums: Any = 0
        self._steps = 0
        self._state: dict[str, Any] = {}
        self._readouts = [
            path for path, part in network.model.named_modules() if isinstance(part, MeanOverTime)
        ]

    def answer(self, part: Slice) -> Answer:
        """The answer after one more slice, which is complete.

        *Raises*: DataError for a sensor that is smaller than the frames.
        """
        started = time.perf_counter()
        self._last.append(self._logits(self.network.reader.step(part.events)))
        mean = np.mean(self._last, axis=0)
        powers = np.exp(mean - mean.max())
        scores, seconds = powers / powers.sum(), time.perf_counter() - started
        joules = rate = None
        if self.meter is not None:
            spent = self.meter.spent.pop()
            joules, rate = float(spent.joules), spent.spikes / spent.sites if spent.sites else None
        return Answer(part.end, len(part), scores, seconds, joules, rate)

    def _logits(self, frame: np.ndarray) -> np.ndarray:
        """Those of this step alone, (K,)."""
        if self._stream is not None:
            found = self._stream(frame) if self.meter is None else self.meter.step(self._stream, frame)
            self._steps += 1
            # sums of integers over all steps so far, in a unit that shrinks as they grow: differences are exact
            step, self._sums = found.logits_int - self._sums, found.logits_int
            return step[0] * (found.scale * self._steps)
        watching = nullcontext() if self.meter is None else self.meter.watching(1)
        x = torch.from_numpy(frame[None]).float()
        with self.network.lock, torch.inference_mode(), watching:
            logits, self._state = run(self.network.model, x, self._state, detach=True)
        # the mean over time starts anew with every step; all that neurons remember goes on
        for path in self._readouts:
            self._state.pop(path, None)
        return logits[0].double().numpy()
