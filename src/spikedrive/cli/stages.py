"""From a trained model to everything that its report shows: the stages that `demo` and `report` share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spikedrive.cli.output import note
from spikedrive.cli.target import images_for
from spikedrive.files import atomic_write

if TYPE_CHECKING:
    from spikedrive.auditing import Audit
    from spikedrive.blocks import SpikingModel
    from spikedrive.data import ImageSet
    from spikedrive.engine import Program, Verification

AUDITED = 256
"""Training images on which the density is measured."""


def examine(
    model: SpikingModel, data: str, split: str, out: Path, seconds: dict[str, float]
) -> tuple[Audit, Verification]:
    """Audit, compile, verify and record into the run's folder.

    The images of `split` are read once, after the program stands.
    """
    with stage("audit", seconds):
        proof = audit_both(model, data, out)
    with stage("compile", seconds):
        program = compile_program(model, out)
    images = images_for(model, data, split)
    with stage("verify", seconds):
        found = verify_program(program, model, images, out)
    with stage("record", seconds):
        from spikedrive.training import record_activity

        known = model.metadata
        record_activity(
            model, images.images[:], images.labels, out / "activity.npz", mean=known["mean"], std=known["std"]
        )
    return proof, found


def audit_both(model: SpikingModel, data: str, out: Path) -> Audit:
    """Audit the model as trained and as deployed; the second is returned."""
    from spikedrive.auditing import audit
    from spikedrive.blocks import fuse
    from spikedrive.cli.target import example_input, normalised_images

    # training images: the test images are kept for the end
    seen = normalised_images(model, data, "train", AUDITED)
    audit(model, example_input(model), data=seen).save(out / "audit_trained.json")
    proof = audit(fuse(model), example_input(model), data=seen)
    proof.save(out / "audit.json")
    return proof


def compile_program(model: SpikingModel, out: Path) -> Program:
    """Write program.sdx, and read it back."""
    from spikedrive.cli.target import example_input
    from spikedrive.engine import load
    from spikedrive.engine.lower import compile

    known = model.metadata
    compile(
        model, example_input(model), mean=known["mean"], std=known["std"], class_names=known["class_names"]
    ).save(out / "program.sdx")
    # what runs from here on is the file, not what was in memory
    return load(out / "program.sdx")


def verify_program(program: Program, model: SpikingModel, images: ImageSet, out: Path) -> Verification:
    """Compare the program with its twin and with the model on every image, and keep every answer."""
    import numpy as np

    from spikedrive.engine.verify import verify

    found = verify(program, model, images.images[:], images.labels)
    with atomic_write(out / "predictions.npz") as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file, labels=images.labels.numpy(), predictions=found.predictions_program,
            predictions_fp32=found.predictions_fp32, logits_program=found.logits_program,
            class_names=np.array(images.class_names),
        )  # fmt: skip
    found.save(out / "verify.json")
    return found


@contextmanager
def stage(name: str, seconds: dict[str, float]) -> Iterator[None]:
    """Say that a stage begins and how long it took."""
    note(f"{name} ...")
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
    note(f"{name}: {seconds[name]:.0f} s")
