"""A trained network of event frames, ready for any number of live inputs."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from os import PathLike

import numpy as np
import torch

from spikedrive.blocks import SpikingModel
from spikedrive.data.events import Events, FrameReader
from spikedrive.engine import Program
from spikedrive.engine.lower import compile, deployable
from spikedrive.errors import CheckpointError, ConfigError
from spikedrive.live.energy import EnergyMeter
from spikedrive.live.session import Session
from spikedrive.models import load_model
from spikedrive.ops.domain import Integer


class Network:
    """A model of frames, how it reads events, the names of its classes, and with `engine` its integer program.

    *Raises*: ConfigError for a model that takes no frames, or whose steps have no fixed length; LoweringError for a
    program of a model that multiplies.
    """

    def __init__(
        self, model: SpikingModel, reader: FrameReader, class_names: Sequence[str], *, engine: bool = False
    ) -> None:
        if model.input != "frames":
            raise ConfigError(
                f"A live network got a model of {model.input}s; one of frames is taken. Choose one of `spikedrive "
                "models` whose input is frames."
            )
        if reader.window is None:
            raise ConfigError(
                f"A live network got a model whose steps have no fixed length ({reader.record}); a window of so many "
                "microseconds is taken. Train it with task.window=MICROSECONDS."
            )
        deployed = deployable(model)
        assert isinstance(deployed, SpikingModel)
        self.model, self.reader, self.class_names = deployed, reader, tuple(class_names)
        self.window = reader.window
        """Microseconds of a slice."""
        self.lock = threading.Lock()
        """Held while the model runs: what is counted meanwhile belongs to one live input."""
        self.program: Program | None = None
        if engine:
            # two steps at the least, so that the answer is a mean over steps; bytes are divided by 255 in the engine
            example = torch.zeros(max(2, reader.steps), 1, 2, reader.height, reader.width)
            self.program = compile(
                model, example, mean=[0.0, 0.0], std=[1 / 255, 1 / 255], class_names=self.class_names
            )
        self._meter: EnergyMeter | None = None

    @classmethod
    def load(cls, path: str | PathLike[str], *, engine: bool = False) -> Network:
        """That of a checkpoint of `spikedrive train`.

        *Raises*: CheckpointError for one that does not say how it reads events; otherwise as the class.
        """
        model = load_model(path)
        known = model.metadata
        if "events" not in known or "class_names" not in known:
            raise CheckpointError(
                f"{path} does not say how it reads events; checkpoints of `spikedrive train MODEL --data EVENTS` do. "
                "Train one, or save it with metadata={'events': FrameReader(...).record, 'class_names': [...]}."
            )
        return cls(model, FrameReader.of_record(known["events"]), known["class_names"], engine=engine)

    def price(self, sample: Sequence[Events]) -> None:
        """Let every live input that is opened from now on count its energy, priced on slices of the kind to come.

        *Raises*: ConfigError for no slices; AuditError for a model that the audit cannot read.
        """
        if not sample:
            raise ConfigError(
                "Network.price got no slices; at least one is taken. Give some of the recording."
            )
        data = torch.from_numpy(np.stack([self.reader.step(part)[0] for part in sample])[None]).float()
        self._meter = EnergyMeter(self.model, data[:, :1], data, inputs=[Integer(self.reader.levels)])

    def meter(self) -> EnergyMeter | None:
        """A meter of its own for one live input; None before `price`."""
        if self._meter is None:
            return None
        own = copy.copy(self._meter)
        own.spent = []
        return own

    def open(self, *, slices: int | None = None) -> Session:
        """A live input from rest; its answers are about the last `slices`, by default as many as it learned with.

        *Raises*: StateError for a network that needs all steps at once.
        """
        return Session(self, slices=self.reader.steps if slices is None else slices)
