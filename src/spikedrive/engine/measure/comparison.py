"""Our integer program against PyTorch on the same images: one race, one row a rival."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from spikedrive import native
from spikedrive.auditing import audit
from spikedrive.blocks import SpikingModel, fuse
from spikedrive.data.transforms import normalise
from spikedrive.engine.lower import compile
from spikedrive.engine.measure.ann import INT8_ENGINES, AnnTwin, int8
from spikedrive.engine.measure.costs import processor
from spikedrive.engine.measure.density import Density, calibrate, copy_thresholds, density_of
from spikedrive.engine.measure.race import Spread, Work, fastest, pinned, race, ratio
from spikedrive.engine.measure.rivals import folded, forms, layouts, without_kernels
from spikedrive.engine.runtime import Program
from spikedrive.errors import ConfigError, unknown_name
from spikedrive.models import create_model

RIVALS = {
    "fp32": "the same network in PyTorch, fp32, with this library's kernels for its neurons",
    "plain": "the same network in PyTorch, fp32, its neurons as loops of PyTorch's own operations",
    "binary": "the model of that name with its own neuron and steps in PyTorch, fp32, with this library's kernels",
    "binary_plain": "that with its neurons as loops of PyTorch's own operations",
    "ann": "the dense twin (ReLU, softmax attention, one step) in PyTorch, fp32",
    "bf16": "the dense twin in bfloat16",
    "int8": "the dense twin in static 8 bits",
    "numpy": "the interpreter of the same program",
}
OURS = "ours"
MEAN, STD = 0.5, 0.25
"""Of random pictures; a trained model has its own."""

Progress = Callable[[str, int, int], None]
"""Called with what is going on, how much of it is done, and of how much."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A program with the images that it is measured on and, unless it came from a file, its model.

    *Shapes*: images (B, C, H, W) or (T, B, C, H, W) uint8.
    """

    name: str
    weights: Literal["random", "trained"]
    program: Program
    images: np.ndarray
    verdict: str = ""
    model: SpikingModel | None = None
    asked: float | None = None
    """The density that the thresholds were calibrated to; None where they are trained."""

    @property
    def batch_axis(self) -> int:
        """Where B stands: behind T, where the images have it."""
        return self.images.ndim - 1 - len(self.program.input.shape)

    @property
    def batch(self) -> int:
        """B."""
        return self.images.shape[self.batch_axis]

    @property
    def first(self) -> np.ndarray:
        """The first image alone, with its batch axis."""
        return self.images.take([0], axis=self.batch_axis)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Ours against one rival.

    *Units*: times in milliseconds for the whole batch, median and quartiles over the rounds; `ratio` is theirs
    divided by ours in the same round, above 1 where ours is faster.
    """

    subject: str
    against: str
    form: str
    """The rival's form and layout, the fastest of those that were tried."""
    ours_ms: float
    ours_low: float
    ours_high: float
    theirs_ms: float
    theirs_low: float
    theirs_high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    weights: str
    asked_density: float | None
    density: float
    density_low: float
    density_high: float
    rate: float
    steps: int
    weight_bits: int
    batch: int
    threads: int
    rounds: int
    isa: str
    verdict: str
    exact: bool
    """Whether the interpreter gives the same logits, integer by integer, for the first image."""


def random_subject(
    name: str,
    density: float,
    *,
    batch: int = 1,
    weight_bits: int = 7,
    dense_separable: bool = False,
    progress: Progress | None = None,
    **changes: Any,
) -> Subject:
    """A registered model with random weights on random bytes, every threshold calibrated to `density`.

    `changes` are arguments of the model, such as steps and neuron.

    *Raises*: UnknownNameError for another name; ConfigError for a density that cannot be asked; LoweringError for a
    model that the engine does not take.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model(name, **changes).eval()
    assert model.card is not None
    size = model.card.input_size
    lead = (batch,) if model.input == "image" else (model.steps, batch)
    images = np.random.default_rng(0).integers(0, 256, (*lead, *size), dtype=np.uint8)
    mean, std = [MEAN] * size[0], [STD] * size[0]
    deployed = fuse(model, dense_separable=dense_separable)
    example = normalise(torch.from_numpy(images.take([0], axis=len(lead) - 1)), mean, std)
    count, done = len(model.neurons()), iter(range(1, 1_000_000))
    calibrate(deployed, example, density, progress=lambda: _tell(progress, "calibrating", next(done), count))
    copy_thresholds(deployed, model)
    _tell(progress, "auditing", 0, 1)
    proof = audit(deployed, example)
    _tell(progress, "compiling", 0, 1)
    program = compile(deployed, example, mean=mean, std=std, weight_bits=weight_bits, audited=proof)
    return Subject(
        name=name, weights="random", program=program, images=images, verdict=proof.verdict, model=model, asked=density
    )  # fmt: skip


def trained_subject(
    model: SpikingModel,
    name: str,
    images: np.ndarray,
    *,
    weight_bits: int = 7,
    progress: Progress | None = None,
) -> Subject:
    """A trained model, with `mean` and `std` in its metadata, on real images.

    *Raises*: LoweringError for a model that the engine does not take.
    """
    known = model.metadata
    example = normalise(torch.from_numpy(images.take([0], axis=images.ndim - 4)), known["mean"], known["std"])
    deployed = fuse(model)
    _tell(progress, "auditing", 0, 1)
    proof = audit(deployed, example)
    _tell(progress, "compiling", 0, 1)
    program = compile(
        deployed, example, mean=known["mean"], std=known["std"], weight_bits=weight_bits, audited=proof
    )
    return Subject(
        name=name, weights="trained", program=program, images=images, verdict=proof.verdict, model=model
    )


def measure(
    subject: Subject,
    against: Sequence[str] = ("fp32",),
    *,
    threads: int = 1,
    rounds: int = 15,
    progress: Progress | None = None,
) -> list[Row]:
    """Race the program against each rival of `against`, all in the same rounds.

    Every rival runs in the fastest of its forms and layouts, found by a few trials first. It gets its input as
    normalised floating point; the program starts from bytes.

    *Raises*: UnknownNameError for a rival that there is not; ConfigError for one that this subject cannot have, or
    where the engine is missing.
    """
    check_rivals(against)
    program, images = subject.program, subject.images
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with pinned(threads):
            _tell(progress, "comparing with the interpreter", 0, 1)
            exact = is_exact(subject)
            works: dict[str, Work] = {OURS: lambda: program.run(images, runtime="native", threads=threads)}
            chosen: dict[str, str] = {}
            for place, name in enumerate(against):
                _tell(progress, f"trying forms of {name}", place, len(against))
                candidates = _rivals(subject, name)
                chosen[name] = fastest(candidates)
                works[name] = candidates[chosen[name]]
            turns, done = rounds * len(works), iter(range(1, 1_000_000_000))
            seconds = race(works, rounds, progress=lambda: _tell(progress, "racing", next(done), turns))
            density = density_of(program, images, threads=threads)
    finally:
        torch.set_num_threads(before)
    settings = {"threads": threads, "rounds": rounds, "exact": exact}
    return [_row(subject, name, chosen[name], seconds, density, settings) for name in against]


def check_rivals(names: Sequence[str]) -> None:
    """Raise UnknownNameError for a rival that there is not."""
    for name in names:
        if name not in RIVALS:
            raise unknown_name("rival", name, RIVALS)


def is_exact(subject: Subject) -> bool:
    """Whether engine and interpreter give the same logits for the first image."""
    results = [subject.program.run(subject.first, runtime=runtime) for runtime in ("native", "numpy")]
    return bool((results[0].logits_int == results[1].logits_int).all())


def _rivals(subject: Subject, name: str) -> dict[str, Work]:
    if name == "numpy":
        return {"integers": lambda: subject.program.run(subject.images, runtime="numpy")}
    model, x = subject.model, _normalised(subject, subject.images)
    if model is None:
        raise ConfigError(
            f"The rival {name} needs the model, and {subject.name} is a program without one; numpy is accepted. "
            "Measure the run that it was compiled from, or leave --against out."
        )
    if name in ("fp32", "plain", "binary", "binary_plain"):
        found = layouts(forms(_binary(subject, name) if name.startswith("binary") else model), x)
        return without_kernels(found) if name.endswith("plain") else found
    twins = {form: AnnTwin(each).eval() for form, each in (("folded", folded(model)), ("fused", fuse(model)))}
    if name == "ann":
        return layouts(twins, x)
    if name == "bf16":
        return layouts({form: twin.to(torch.bfloat16) for form, twin in twins.items()}, x.to(torch.bfloat16))
    made = {
        f"{form}, {engine}": int8(twin, x, engine) for engine in INT8_ENGINES for form, twin in twins.items()
    }
    return layouts(made, x)


def _binary(subject: Subject, name: str) -> SpikingModel:
    if subject.asked is None or subject.model is None:
        raise ConfigError(
            f"The rival {name} is the model of a name with random weights, and {subject.name} is trained; fp32, plain, "
            "ann, bf16, int8 and numpy are accepted. Take one of those."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model(subject.name).eval()
    calibrate(model, _normalised(subject, subject.first), subject.asked)
    return model


def _row(
    subject: Subject,
    name: str,
    form: str,
    seconds: dict[str, list[float]],
    density: Density,
    settings: dict[str, Any],
) -> Row:
    ours, theirs = (Spread.of([1e3 * s for s in seconds[who]]) for who in (OURS, name))
    quotient = ratio(seconds[name], seconds[OURS])
    program = subject.program
    return Row(
        subject=subject.name, against=name, form=form,
        ours_ms=ours.median, ours_low=ours.low, ours_high=ours.high,
        theirs_ms=theirs.median, theirs_low=theirs.low, theirs_high=theirs.high,
        ratio=quotient.median, ratio_low=quotient.low, ratio_high=quotient.high,
        weights=subject.weights, asked_density=subject.asked, density=density.mean, density_low=density.low,
        density_high=density.high, rate=density.rate, steps=program.steps, weight_bits=program.meta.weight_bits,
        batch=subject.batch, isa=native.engine_level(), verdict=subject.verdict, **settings,
    )  # fmt: skip


def machine() -> dict[str, Any]:
    """Where a row was measured: processor, system and versions."""
    return {
        "cpu": processor(),
        "system": platform.platform(terse=True),
        "torch": version("torch"),
        "spikedrive": version("spikedrive"),
    }


def caps(isa: str) -> dict[str, str]:
    """The environment in which the engine uses this instruction set and PyTorch none wider.

    PyTorch reads it when it is imported, so it is one of a new process.
    """
    levels = {
        "scalar": ("default", "SSE41", "SSE4_2"),
        "avx2": ("avx2", "AVX2", "AVX2"),
        "avx512": ("avx512", "AVX512_CORE", "AVX512"),
        "avx512vnni": ("avx512", "AVX512_CORE_VNNI", "AVX512"),
    }
    names = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")
    return {"SPIKEDRIVE_ISA": isa, **dict(zip(names, levels.get(isa, ()), strict=False))}


def to_dict(rows: Sequence[Row]) -> dict[str, Any]:
    """The rows with the machine, as `--json` prints them."""
    return {"machine": machine(), "rows": [asdict(row) for row in rows]}


def _normalised(subject: Subject, images: np.ndarray) -> Tensor:
    """Images as the model takes them."""
    return normalise(torch.from_numpy(images), subject.program.meta.mean, subject.program.meta.std)


def _tell(progress: Progress | None, what: str, done: int, total: int) -> None:
    if progress is not None:
        progress(what, done, total)
