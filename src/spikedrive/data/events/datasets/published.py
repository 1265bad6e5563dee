"""Data sets in the layout in which they were published, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path

from spikedrive.data.events.clips import EventSet
from spikedrive.errors import DataError
from spikedrive.registry import Registry


@dataclass(frozen=True)
class Layout:
    """What a data set is called, where it is found, which files it has, and into which splits it is divided."""

    title: str
    page: str
    tree: str
    splits: tuple[str, ...]

    def missing(self, what: str) -> DataError:
        """The error for a folder that is not the published one: what is missing, the tree, and the page."""
        tree = "\n".join(f"    {line}" for line in self.tree.strip("\n").splitlines())
        return DataError(
            f"{what}; {self.title} is taken as it is published:\n{tree}\nDownload it from {self.page} and unpack it "
            "there, or name another folder."
        )

    def root(self, folder: str | PathLike[str]) -> Path:
        """The folder itself.

        *Raises*: DataError where there is none.
        """
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise self.missing(f"{path} {'is no folder' if path.exists() else 'does not exist'}")
        return path

    def part(self, root: Path, *places: str) -> Path:
        """The first of several places in the root that exists, a folder or a file.

        *Raises*: DataError where none does.
        """
        found = next((root / place for place in places if (root / place).exists()), None)
        if found is None:
            raise self.missing(f"{root} has no {' and no '.join(places)}")
        return found

    def files(self, folder: Path, pattern: str) -> list[Path]:
        """The files in a folder, in order of their names.

        *Raises*: DataError where there are none.
        """
        found = sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
        if not found:
            raise self.missing(f"{folder} holds no {pattern}")
        return found

    def check_split(self, split: str) -> None:
        """*Raises*: DataError for a split that was not published."""
        if split not in self.splits:
            more = (
                " or divide it with EventSet.split"
                if self.splits == ("train",)
                else ", and divide it with EventSet.split where another is needed"
            )
            raise DataError(
                f"{self.title} has no split {split!r}; it has {', '.join(self.splits)}. Ask for one of these,{more}."
            )


@dataclass(frozen=True)
class Published:
    """A data set of labelled clips: its layout, and what reads a split of it."""

    layout: Layout
    load: Callable[[Path, str], EventSet]

    def splits(self, folder: Path | None) -> Mapping[str, Callable[[], EventSet]]:
        """What opens each split, for a registry of sources.

        *Raises*: DataError without a folder.
        """
        if folder is None:
            raise self.layout.missing(
                f"{self.layout.title} was asked for without a folder, as in NAME:FOLDER"
            )
        return {split: partial(self.open, folder, split) for split in self.layout.splits}

    def open(self, root: str | PathLike[str], split: str = "train") -> EventSet:
        """The labelled clips of one split; files are read when a clip is asked for.

        *Raises*: DataError for a split that it does not have, or a folder of another layout.
        """
        self.layout.check_split(split)
        return self.load(self.layout.root(root), split)


DATASETS: Registry[Published] = Registry("published event data set")
"""Data sets of labelled clips by name, for `DATASETS["n_mnist"].open("/data/n-mnist", "train")`."""
