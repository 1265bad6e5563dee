"""An event camera that looks at pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from spikedrive.data.events.events import EVENT, Events
from spikedrive.errors import ConfigError, ShapeError, ValueRangeError

_SLACK = 1e-9
"""Of thresholds: what rounding of logarithms may take away from a full crossing."""


class EventCamera:
    """Events of a sequence of pictures, by the changes of their logarithm.

    Between two pictures the logarithm of each pixel runs straight. Each time it has moved by a threshold since the
    pixel's last event, the pixel sends one, at the time of that crossing. The first picture sends nothing.

    *Equation*: L = log(dark + (1 - dark) I) + leak C+ t; an event of polarity 1 at each L = r + C+, one of polarity 0
    at each L = r - C-, after which r is that L. Beside these each pixel sends noise of both polarities, at `shot` / 2 a
    second each.

    - `positive`, `negative`: C+ and C-, in natural logarithms. `mismatch`: the deviation of both between pixels, as a
      share; no threshold is below a tenth of its mean.
    - `leak`, `shot`: events a second and pixel without any change. With a leak each pixel starts at a phase of its own
      between two events, as all would leak at one moment otherwise.
    - `bandwidth`: of a low pass of first order on L, in hertz; none where it is left out.
    - `refractory`: microseconds after an event in which a pixel sends none; r moves on meanwhile.
    - `dark`: what a black pixel stands for, as a share of white.

    Everything that is drawn depends on the seed and the picture's number alone: pictures in several calls give the
    events of one call.

    *Units*: pictures 0..1, or uint8 divided by 255; times in microseconds.
    *Raises*: ConfigError for settings out of range.
    *Source*: ESIM (Rebecq 2018) for crossings between pictures, v2e (arXiv 2006.07722) for mismatch, leak, noise and
    bandwidth. We differ: neither bandwidth nor noise depends on how bright a pixel is.
    """

    def __init__(
        self, width: int, height: int, *, positive: float = 0.2, negative: float = 0.2, mismatch: float = 0.0,
        leak: float = 0.0, shot: float = 0.0, refractory: int = 0, dark: float = 0.02, seed: int = 0,
        bandwidth: float | None = None,
    ) -> None:  # fmt: skip
        least = {"width": (width, 1), "height": (height, 1), "refractory": (refractory, 0), "seed": (seed, 0),
                 "mismatch": (mismatch, 0), "leak": (leak, 0), "shot": (shot, 0)}  # fmt: skip
        for name, (value, low) in least.items():
            if not low <= value < float("inf"):
                raise ConfigError(f"EventCamera got {name}={value}; it takes at least {low}. Change {name}.")
        for name, value in (("positive", positive), ("negative", negative), ("dark", dark)):
            if not 0 < value < (1 if name == "dark" else float("inf")):
                limit = "above 0 and below 1" if name == "dark" else "above 0"
                raise ConfigError(
                    f"EventCamera got {name}={value}; it takes a number {limit}. Change {name}."
                )
        if bandwidth is not None and not 0 < bandwidth < float("inf"):
            raise ConfigError(
                f"EventCamera got bandwidth={bandwidth}; it takes a number above 0. Leave it out for none."
            )
        self.width, self.height, self.bandwidth = int(width), int(height), bandwidth
        self.leak, self.shot, self.refractory, self.dark, self.seed = leak, shot, refractory, dark, seed
        source = np.random.Generator(np.random.Philox(key=[seed, 0]))
        shape = (self.height, self.width)
        self._thresholds = [
            np.maximum(mean * (1 + mismatch * source.standard_normal(shape)), mean / 10)
            for mean in (negative, positive)
        ]
        self._number = 0
        self._time = self._start = 0
        # the logarithm at the last picture, at the last event, and when that was
        self._now = self._reference = self._passed = np.zeros(0)
        self._last = np.full(shape, -(1 << 60), np.int64)

    def see(self, pictures: Any, times: Any) -> Events:
        """The events between the last picture of the call before and the last of these.

        *Shapes*: pictures (N, H, W), times (N,) ascending.
        *Raises*: ShapeError, ValueRangeError for pictures that do not fit, or times that do not ascend.
        """
        pictures, times = np.asarray(pictures), np.asarray(times)
        if pictures.shape[1:] != (self.height, self.width) or times.shape != pictures.shape[:1]:
            raise ShapeError(
                f"EventCamera got pictures of shape {pictures.shape} and times of shape {times.shape}; it takes "
                f"(N, {self.height}, {self.width}) and (N,). Resize the pictures, or make a camera of their size."
            )
        parts = [self._look(*pair) for pair in zip(pictures, times.tolist(), strict=True)]
        return Events(np.concatenate([np.zeros(0, EVENT), *parts]), self.width, self.height)

    def stream(self, pictures: Iterable[tuple[Any, float]]) -> Iterator[Events]:
        """The events up to each picture (H, W) with its time, as it comes."""
        for picture, time in pictures:
            yield self.see(np.asarray(picture)[None], np.array([time]))

    def _look(self, picture: np.ndarray, time: float) -> np.ndarray:
        light = picture / 255.0 if picture.dtype == np.uint8 else picture.astype(np.float64)
        if not (light >= 0).all() or not (light <= 1).all():
            raise ValueRangeError(
                f"EventCamera got a picture with values from {light.min()} to {light.max()}; it takes 0 to 1, or "
                "uint8. Scale it first."
            )
        level = np.log(self.dark + (1 - self.dark) * light)
        if not self._number:
            self._start = time
            self._now = self._reference = self._passed = level
            if self.leak:
                source = np.random.Generator(np.random.Philox(key=np.array([self.seed, 1 << 63], np.uint64)))
                self._reference = level - self._thresholds[1] * source.random(level.shape)
            found = np.zeros(0, EVENT)
        else:
            if not time > self._time:
                raise ValueRangeError(
                    f"EventCamera got a picture at {time} us after one at {self._time} us; times ascend. Sort the "
                    "pictures."
                )
            level = self._through(level, time)
            level = level + self.leak * self._thresholds[1] * ((time - self._start) / 1e6)
            found = self._between(level, time)
            self._now = level
        self._number, self._time = self._number + 1, time
        return found

    def _through(self, level: np.ndarray, time: float) -> np.ndarray:
        """What the low pass leaves of the logarithm."""
        if self.bandwidth is None:
            return level
        share = -np.expm1(-2 * np.pi * self.bandwidth * (time - self._time) / 1e6)
        self._passed = self._passed + share * (level - self._passed)
        return self._passed

    def _between(self, level: np.ndarray, time: float) -> np.ndarray:
        """The events on the way from the last logarithm to this one."""
        change = level - self._now
        rising = change > 0
        threshold = np.where(rising, self._thresholds[1], -self._thresholds[0])
        # a pixel that comes back crosses nothing until it is a threshold away from its last event
        count = np.floor((level - self._reference) / threshold + _SLACK).astype(np.int64).clip(min=0)
        y, x = np.nonzero(count)
        parts = [self._noise(time)]
        start, step, slope = self._reference[y, x], threshold[y, x], change[y, x]
        for k in range(1, int(count.max(initial=0)) + 1):
            still = count[y, x] >= k
            y, x = y[still], x[still]
            start, step, slope = start[still], step[still], slope[still]
            share = ((start + k * step - self._now[y, x]) / slope).clip(0, 1)
            t = (self._time + share * (time - self._time)).astype(np.int64)
            parts.append(_events(t, x, y, step > 0))
        self._reference = self._reference + count * threshold
        found = np.concatenate(parts)
        found = found[np.argsort(found["t"], kind="stable")]
        return self._rested(found) if self.refractory else found

    def _rested(self, found: np.ndarray) -> np.ndarray:
        """Without events of pixels that sent one just before."""
        place = found["y"].astype(np.int64) * self.width + found["x"]
        last = self._last.reshape(-1)
        kept = np.zeros(len(found), bool)
        left = np.arange(len(found))
        while len(left):
            # the first event of each pixel that is left, decided one round at a time
            pixels, first = np.unique(place[left], return_index=True)
            chosen = left[first]
            sends = found["t"][chosen] - last[pixels] >= self.refractory
            kept[chosen[sends]] = True
            last[pixels[sends]] = found["t"][chosen[sends]]
            rest = np.ones(len(left), bool)
            rest[first] = False
            left = left[rest]
        return found[kept]

    def _noise(self, time: float) -> np.ndarray:
        if not self.shot:
            return np.zeros(0, EVENT)
        source = np.random.Generator(np.random.Philox(key=[self.seed, self._number]))
        counts = source.poisson(self.shot / 2 * (time - self._time) / 1e6, (2, self.height, self.width))
        p, y, x = (np.repeat(column, counts.ravel()) for column in np.indices(counts.shape).reshape(3, -1))
        t = self._time + np.floor(source.random(len(p)) * (time - self._time))
        return _events(t, x, y, p)


def _events(t: np.ndarray, x: np.ndarray, y: np.ndarray, p: np.ndarray) -> np.ndarray:
    found = np.empty(len(t), EVENT)
    found["t"], found["x"], found["y"], found["p"] = t, x, y, p
    return found
