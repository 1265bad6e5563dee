"""Load and run an integer program. Needs numpy only: neither torch nor the model it came from."""

from __future__ import annotations

import dataclasses
import math
import mmap
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spikedrive import native
from spikedrive.engine import pack
from spikedrive.engine.arithmetic import Embedding
from spikedrive.engine.interpreter import interpret, smallest
from spikedrive.engine.ir import Input, Neuron, Op, Value, check
from spikedrive.engine.measure.costs import in_use
from spikedrive.errors import ConfigError, DtypeError, FormatError, ShapeError, ValueRangeError, unknown_name

if TYPE_CHECKING:
    from spikedrive.engine.stream import Stream

RUNTIMES = ("native", "numpy")


@dataclass(frozen=True, kw_only=True)
class Meta:
    """What a program says of itself; `mean` and `std` are folded into it already and stand for information.

    `source` is the SHA-256 of the graph that was compiled.
    """

    model: str = ""
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    weight_bits: int = 8
    source: str = ""


@dataclass(frozen=True, eq=False)
class Result:
    """Integer logits (B, K), the real number that one unit stands for, and the integers that were asked for.

    Shapes: neurons path -> (T, B, ...); tensors, of a stream's step, operation -> (B, ...).
    """

    logits_int: np.ndarray
    scale: float
    neurons: dict[str, np.ndarray] = field(default_factory=dict)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def logits(self) -> np.ndarray:
        """The logits as real numbers."""
        return self.logits_int * self.scale

    @property
    def predictions(self) -> np.ndarray:
        """The class with the largest logit (B,)."""
        return self.logits_int.argmax(axis=1)


class Program:
    """An integer program: what `compile` gives, `save` writes and `load` reads.

    *Shapes*: images (B, C, H, W) uint8, or (T, B, C, H, W) where the model takes sequences -> logits (B, K). A model
    that begins with an embedding takes token ids (B, ...) or (T, B, ...) of any integer type.
    *Raises*: ShapeError where the operations do not fit each other.
    """

    def __init__(self, ops: Sequence[Op], meta: Meta | None = None) -> None:
        self.ops, self.meta = tuple(ops), meta or Meta()
        self.values = check(self.ops)
        inputs = [op for op in self.ops if isinstance(op, Input)]
        if len(inputs) != 1 or self.output.steps != 1 or len(self.output.shape) != 1:
            raise ShapeError(
                f"A program got {len(inputs)} inputs and an answer of shape {self.output.shape} at {self.output.steps} "
                "steps; it takes one input and ends with logits (K,). Compile the model again."
            )
        self.input = inputs[0]
        self._engine: Engine | None = None
        # the file that it was loaded from, if it was
        self._file: bytes | mmap.mmap | None = None
        self.steps = max(value.steps for value in self.values.values())
        largest = max(value.steps * math.prod(value.shape) for value in self.values.values())
        self.batch = max(1, min(64, 2**24 // max(largest, 1)))
        self.neurons = {op.module: op.name for op in self.ops if isinstance(op, Neuron)}

    @property
    def output(self) -> Value:
        """What is known of the logits."""
        return self.values[self.ops[-1].name]

    @property
    def takes_tokens(self) -> bool:
        """Whether it takes token ids, and not raw pixels."""
        return self.input.high != 255 or any(isinstance(op, Embedding) for op in self.ops)

    def run(
        self,
        images: Any,
        *,
        neurons: bool | Sequence[str] = False,
        batch: int | None = None,
        runtime: Literal["native", "numpy"] | None = None,
        threads: int | None = None,
    ) -> Result:
        """The logits of raw images or token ids, and the integers of all neurons or of those in `neurons`.

        `batch` images go through at a time, by default as many as fit some hundred megabytes. `runtime` is the
        compiled engine where there is one, unless it says "numpy" or SPIKEDRIVE_IMPL is "reference": both give the
        same integers. The engine takes `threads`, by default OMP_NUM_THREADS or every core that the process may use.

        Raises: ShapeError, DtypeError (floating point is refused: the program takes raw bytes), ValueRangeError for ids
        that are none, UnknownNameError for a neuron or a runtime that there is not, ConfigError for a missing engine.
        """
        pixels = self.check_input(images)
        paths = list(self.neurons) if neurons is True else list(neurons or ())
        for path in paths:
            if path not in self.neurons:
                raise unknown_name("neuron", path, self.neurons)
        answer = self.ops[-1].name
        keep = {answer, *(self.neurons[path] for path in paths)}
        # an empty batch runs once, for the shapes
        size = self.batch if batch is None else max(batch, 1)
        starts = range(0, max(pixels.shape[1], 1), size)
        evaluate = self._evaluate(runtime, threads)
        parts = [evaluate(pixels[:, i : i + size], keep) for i in starts]
        logits = np.concatenate([part[answer][0] for part in parts]).astype(np.int64)
        kept = {path: np.concatenate([part[self.neurons[path]] for part in parts], axis=1) for path in paths}
        return Result(logits, self.output.scale, kept)

    def _evaluate(
        self, runtime: str | None, threads: int | None
    ) -> Callable[[np.ndarray, set[str]], dict[str, np.ndarray]]:
        if not takes_native(runtime):
            return lambda images, keep: interpret(self.ops, self.values, images, keep)
        return Engine.of(self, thread_count(threads)).evaluate

    def stream(
        self, *, runtime: Literal["native", "numpy"] | None = None, threads: int | None = None
    ) -> Stream:
        """A live input: call it with one step (B, ...) at a time; see `Stream`. Any number may share one program.

        `runtime` and `threads` as in `run`. Raises: StateError for a program of which an operation sees several steps
        at once; UnknownNameError and ConfigError as `run`.
        """
        from spikedrive.engine.stream import Stream

        return Stream(self, runtime, threads)

    def __getstate__(self) -> dict[str, Any]:
        # neither an engine nor a mapped file goes to another process
        return {**self.__dict__, "_engine": None, "_file": None}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an `.sdx` file; the file is whole or untouched. Raises: StorageError."""
        pack.write(path, dataclasses.asdict(self.meta), self.ops)

    def check_input(self, images: Any, *, steps: int | None = None) -> np.ndarray:
        """The input as (steps, B, ...), checked; with `steps=1`, of one step (B, ...) of whatever the program takes."""
        pixels = np.asarray(images)
        wanted = self.input.steps if steps is None else steps
        sequence = wanted > 1
        form = f"({f'{wanted}, ' if sequence else ''}B, {', '.join(map(str, self.input.shape))})"
        if (
            pixels.ndim != len(self.input.shape) + 1 + sequence
            or pixels.shape[1 + sequence :] != self.input.shape
        ):
            given, advice = ("token ids", "Add") if self.takes_tokens else ("images", "Resize them, or add")
            raise ShapeError(f"The program got {given} of shape {pixels.shape}; it takes {form}. "
                             f"{advice} the batch axis: {given.split()[-1]}[None].")  # fmt: skip
        if sequence and len(pixels) != wanted:
            raise ShapeError(
                f"The program got {len(pixels)} steps; it takes {form}. Compile it for that many steps."
            )
        pixels = self._check_ids(pixels) if self.takes_tokens else self._check_pixels(pixels)
        return pixels if sequence else pixels[None]

    def _check_pixels(self, pixels: np.ndarray) -> np.ndarray:
        if pixels.dtype != np.uint8:
            raise DtypeError(
                f"The program got images of dtype {pixels.dtype}; it takes raw uint8 pixels 0..255, because the "
                "normalisation is folded into it. Pass the images as they were read."
            )
        return pixels

    def _check_ids(self, ids: np.ndarray) -> np.ndarray:
        """Token ids of any integer type, in the program's own."""
        if not np.issubdtype(ids.dtype, np.integer):
            raise DtypeError(
                f"The program got token ids of dtype {ids.dtype}; it takes integers 0..{self.input.high}. Pass the ids "
                "that the tokeniser gave."
            )
        if ids.size and not (ids.min() >= 0 and ids.max() <= self.input.high):
            raise ValueRangeError(
                f"The program got token ids from {ids.min()} to {ids.max()}; it takes 0..{self.input.high}, the rows "
                "of its table. Use the tokeniser that the model was trained with."
            )
        return ids.astype(self.input.dtype, copy=False)


class Engine:
    """The compiled engine with one program in it."""

    def __init__(self, program: Program) -> None:
        self._program, self._level = program, native.engine_level()
        file = program._file or pack.dump(dataclasses.asdict(program.meta), program.ops)
        self._engine = native.run.Engine(
            file, self._level, costs=in_use(self._level), mapped=isinstance(file, mmap.mmap)
        )
        self._places = {op.name: place for place, op in enumerate(program.ops)}
        self._threads = 1

    @classmethod
    def of(cls, program: Program, threads: int) -> Engine:
        """That of the program, made at its first run and for another instruction set."""
        if program._engine is None or program._engine._level != native.engine_level():
            program._engine = cls(program)
        program._engine._threads = threads
        return program._engine

    def evaluate(self, images: np.ndarray, keep: set[str]) -> dict[str, np.ndarray]:
        """Every tensor named in `keep`, as `interpret` gives it."""
        names = sorted(keep)
        places = [self._places[name] for name in names]
        # wider integers than bytes go in as the bytes of 32 bits each
        wide = np.ascontiguousarray(images, np.uint8 if images.itemsize == 1 else np.int32)
        found = self._engine.run(wide.view(np.uint8), images.shape[1], places, self._threads)
        values = self._program.values
        return {
            name: array.astype(smallest(values[name].low, values[name].high), copy=False)
            for name, array in zip(names, found, strict=True)
        }


def takes_native(runtime: str | None) -> bool:
    """Whether the compiled engine runs where `runtime` is asked for."""
    if runtime not in (None, *RUNTIMES):
        raise unknown_name("runtime", runtime, RUNTIMES)
    if runtime == "native" and native.run is None:
        raise ConfigError(
            f"A program got runtime='native'; it takes 'numpy' here, since the engine is missing: "
            f"{native.run_missing}."
        )
    reference = os.environ.get("SPIKEDRIVE_IMPL") == "reference"
    return runtime == "native" or (runtime is None and native.run is not None and not reference)


def thread_count(wanted: int | None) -> int:
    """That many, or OMP_NUM_THREADS, or every core that the process may use."""
    if wanted is None:
        named = os.environ.get("OMP_NUM_THREADS", "")
        return int(named) if named.isdecimal() and int(named) else len(os.sched_getaffinity(0))
    if wanted < 1:
        raise ConfigError(
            f"Program.run got threads={wanted}; it takes 1 or more. Leave it out for every core."
        )
    return wanted


def load(path: str | os.PathLike[str]) -> Program:
    """The program in an `.sdx` file. Raises: FormatError for a file that is none, truncated, damaged or newer."""
    file = pack.mapped(path)
    meta, ops = pack.parse(file, str(path))
    try:
        lists: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in meta.items()
        }
        program = Program(ops, Meta(**lists))
    except (TypeError, ShapeError) as error:
        raise FormatError(
            f"{path} is an .sdx program that this spikedrive cannot run ({error}); it takes one input, one answer and "
            "the meta fields that it writes. Compile the model again."
        ) from error
    program._file = file
    pack.release(file)
    return program
