"""`spikedrive infer`: an integer program on images, with numpy and without torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikedrive.cli.output import JsonFlag, best_names, emit, table
from spikedrive.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from spikedrive.engine.runtime import Program

SUFFIXES = (".png", ".jpg", ".jpeg")
BATCH = 64


def verb(
    program: Annotated[Path, typer.Argument(metavar="PROGRAM.sdx", help="What `spikedrive compile` wrote.")],
    images: Annotated[
        list[Path], typer.Argument(help="PNG or JPEG files, folders of them, or .npy arrays of uint8.")
    ],
    top: Annotated[int, typer.Option(min=1, help="How many names per image.")] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Run an integer program, without torch."""
    from spikedrive.engine import load

    if not program.is_file():
        raise DataError(
            f"There is no program at {program}; an .sdx file is needed. Make one: spikedrive compile RUN -o m.sdx."
        )
    loaded = load(program)
    answers = []
    for names, pixels in _batches(images, loaded):
        result = loaded.run(pixels)
        for name, scores in zip(names, result.logits, strict=True):
            answers.append({"image": name, **best_names(scores, loaded.meta.class_names, top)})
    rows = [[a["image"], n, s] for a in answers for n, s in zip(a["names"], a["scores"], strict=True)]
    emit(answers, table(["image", "name", "score"], rows), as_json)


def _batches(paths: list[Path], program: Program) -> Iterator[tuple[list[str], np.ndarray]]:
    import numpy as np

    arrays = [path for path in paths if path.suffix == ".npy"]
    files = [file for path in paths if path.suffix != ".npy" for file in _files(path)]
    for path in arrays:
        pixels = _array(path)
        batch_axis = pixels.ndim - len(program.input.shape) - 1
        count = pixels.shape[batch_axis] if batch_axis >= 0 else 0
        yield [f"{path}[{i}]" for i in range(count)], pixels
    if files:
        from spikedrive.data import decode

        channels, height, width = _picture_shape(program)
        for start in range(0, len(files), BATCH):
            part = files[start : start + BATCH]
            yield [str(f) for f in part], np.stack([decode(f, (height, width), channels) for f in part])


def _picture_shape(program: Program) -> tuple[int, ...]:
    if program.input.steps > 1:
        raise DataError(
            f"The program takes sequences of {program.input.steps} frames, which image files do not hold; "
            "an array (T, B, C, H, W) of uint8 is accepted. Save one with numpy.save and name the .npy file."
        )
    return program.input.shape


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(
            f"{path} holds no image; {', '.join(SUFFIXES)} files are accepted. Name another folder."
        )
    return found


def _array(path: Path) -> np.ndarray[Any, Any]:
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"There is no file {path}; an .npy array is needed. Check the path.") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path} cannot be read as an array ({error}); what numpy.save writes is accepted. Save it again."
        ) from error
