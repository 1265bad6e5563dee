"""One live input of a network: a slice of events in, an answer out."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from spikedrive.blocks.readout import MeanOverTime
from spikedrive.errors import ConfigError
from spikedrive.live.energy import EnergyMeter
from spikedrive.state import run

if TYPE_CHECKING:
    from spikedrive.data.events import Events
    from spikedrive.live.network import Network


@dataclass(frozen=True)
class Answer:
    """What a network says after one more slice.

    *Units*: `time` in microseconds of the recording's clock, the end of the slice; `seconds` from the complete slice to
    the scores; `joules` of this slice by the meter's table; `firing_rate` in spikes per neuron of this slice, None
    where no neuron sends spikes.
    """

    time: int
    events: int
    scores: np.ndarray
    seconds: float
    joules: float
    firing_rate: float | None


class Session:
    """The state of one live input. Several sessions may share one network; each answers as if it were alone.

    *Equation*: scores = softmax of the mean of the logits of the last `window` slices (of all so far, while they are
    fewer), as the network's own mean over its steps answers for the first `window`.
    """

    def __init__(self, network: Network, *, window: int) -> None:
        if window < 1:
            raise ConfigError(
                f"Session got window={window}; it takes at least 1, the slices that an answer is about. Leave it out "
                "for as many as the model learned with."
            )
        self.network = network
        self.meter: EnergyMeter = network.meter()
        self._last: deque[np.ndarray] = deque(maxlen=window)
        self._stream = None if network.program is None else network.program.stream()
        self._sums: Any = 0
        self._steps = 0
        self._state: dict[str, Any] = {}
        self._readouts = [
            path for path, part in network.model.named_modules() if isinstance(part, MeanOverTime)
        ]

    def answer(self, events: Events, end: int) -> Answer:
        """The answer after a slice of events that is complete at `end`.

        *Raises*: ShapeError for another sensor than the network reads.
        """
        started = time.perf_counter()
        frame = self.network.reader.step(events)
        self._last.append(self._logits(frame))
        mean = np.mean(self._last, axis=0)
        powers = np.exp(mean - mean.max())
        seconds = time.perf_counter() - started
        spent = self.meter.spent.pop()
        return Answer(
            end, len(events), powers / powers.sum(), seconds, spent.joules,
            spent.spikes / spent.sites if spent.sites else None,
        )  # fmt: skip

    def _logits(self, frame: torch.Tensor) -> np.ndarray:
        """Those of this step alone, (K,)."""
        if self._stream is not None:
            found = self.meter.step(self._stream, frame[0].numpy().astype(np.uint8))
            self._steps += 1
            # sums of integers over all steps so far, in a unit that shrinks as they grow: differences are exact
            step, self._sums = found.logits_int - self._sums, found.logits_int
            return step[0] * (found.scale * self._steps)
        with self.network.lock, torch.inference_mode(), self.meter.watching(1):
            logits, self._state = run(self.network.model, frame, self._state, detach=True)
        # the mean over time starts anew with every step; all that neurons remember goes on
        for path in self._readouts:
            self._state.pop(path, None)
        return logits[0].double().numpy()
