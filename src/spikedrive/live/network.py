"""A trained network of event frames, ready for any number of live inputs."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from os import PathLike

import torch

from spikedrive.blocks import SpikingModel
from spikedrive.data.events import Events
from spikedrive.data.events.reading import FrameReader
from spikedrive.engine import Program
from spikedrive.engine.lower import compile, deployable
from spikedrive.errors import CheckpointError, ConfigError
from spikedrive.live.energy import EnergyMeter
from spikedrive.live.session import Session
from spikedrive.models import load_model
from spikedrive.ops.domain import Integer


class Network:
    """A model of frames, how it reads events, the names of its classes, and with `engine` its integer program.

    What it costs is priced on `sample`, slices of events of the kind that will come.

    *Raises*: CheckpointError for a checkpoint that does not say how it reads events; ConfigError for a model that takes
    no frames, whose steps have no fixed length, or a module that needs all steps at once; LoweringError for a program
    of a model that multiplies.
    """

    def __init__(
        self, model: SpikingModel, reader: FrameReader, class_names: Sequence[str], sample: Sequence[Events], *,
        engine: bool = False,
    ) -> None:  # fmt: skip
        if model.input != "frames" or reader.window is None:
            what = (
                f"steps of no fixed length ({reader.record})"
                if model.input == "frames"
                else f"{model.input}s"
            )
            raise ConfigError(
                f"A live network got a model of {what}; frames of a fixed window are taken. Train a model of frames "
                "with task.window=MICROSECONDS."
            )
        if not sample:
            raise ConfigError(
                "A live network got no slices to price its energy on; at least one is taken. Give some."
            )
        self.reader, self.class_names = reader, tuple(class_names)
        deployed = deployable(model)
        assert isinstance(deployed, SpikingModel)
        self.model = deployed
        self.lock = threading.Lock()
        """Held while the model runs: what is counted belongs to one session."""
        shape = (2, 1, 2, reader.height, reader.width)
        self.program: Program | None = None
        if engine:
            # two steps at the least, so that the answer is a mean over steps
            self.program = compile(
                model, torch.zeros(max(2, model.steps), *shape[1:]), mean=[0.0, 0.0], std=[1 / 255, 1 / 255],
                class_names=self.class_names,
            )  # fmt: skip
        data = torch.cat([reader.step(part) for part in sample], dim=1)
        self._meter = EnergyMeter(self.model, data[:, :1], data, inputs=[Integer(reader.levels)])

    @classmethod
    def load(cls, path: str | PathLike[str], sample: Sequence[Events], *, engine: bool = False) -> Network:
        """That of a checkpoint of `spikedrive train`."""
        model = load_model(path)
        known = model.metadata
        if "events" not in known or "class_names" not in known:
            raise CheckpointError(
                f"{path} does not say how it reads events; checkpoints of `spikedrive train MODEL --data EVENTS` do. "
                "Train one, or save it with metadata={'events': FrameReader(...).record, 'class_names': [...]}."
            )
        return cls(model, FrameReader.of_record(known["events"]), known["class_names"], sample, engine=engine)

    def meter(self) -> EnergyMeter:
        """A meter of its own for one live input."""
        own = copy.copy(self._meter)
        own.spent = []
        return own

    def open(self, *, window: int | None = None) -> Session:
        """A live input from rest; its answers are about the last `window` slices, by default those it learned with."""
        return Session(self, window=window or self.reader.steps)
