"""The order of a report: which figures and tables of which files stand where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spikedrive.reports import tables
from spikedrive.reports.artifacts import ARTIFACTS, command, exists
from spikedrive.reports.figures_accuracy import accuracy_by_class, confusion_matrix
from spikedrive.reports.figures_activity import (
    AttentionGrid,
    attention_maps,
    firing_by_layer,
    membrane_histograms,
    spike_raster,
)
from spikedrive.reports.figures_audit import energy_by_layer, energy_by_table, operations_by_layer
from spikedrive.reports.figures_training import learning_curves
from spikedrive.reports.style import Figure
from spikedrive.reports.tables import Table


@dataclass(frozen=True)
class Missing:
    """A file that is not there yet, and the command that makes it."""

    name: str
    holds: str
    command: str


@dataclass(frozen=True)
class Section:
    """A heading with its figures and tables, and what is missing."""

    id: str
    title: str
    says: str = ""
    figures: list[Figure] = field(default_factory=list)
    grids: list[AttentionGrid] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)

    def draw(self, run: Path, name: str, *parts: Callable[[Path], Any]) -> Section:
        """Add what each of `parts` makes of the run's file `name`, or say that the file is missing."""
        if not exists(run, name):
            self.missing.append(Missing(name, ARTIFACTS[name].holds, command(run, name)))
            return self
        for part in parts:
            made = part(run / name)
            for item in made if isinstance(made, list) else [made]:
                self._list_of(item).append(item)
        return self

    def _list_of(self, item: Figure | AttentionGrid | Table) -> list[Any]:
        if isinstance(item, Figure):
            return self.figures
        return self.grids if isinstance(item, AttentionGrid) else self.tables


def build_sections(run: Path, *, page: str) -> list[Section]:
    """All sections of the page named `page` for one run's folder.

    *Raises*: DataError when a file that is there is damaged.
    """
    setting, files = Section("setting", "Setting"), Section("files", "Files")
    setting.tables.append(tables.timings_table(run))
    files.tables.append(tables.files_table(run, without=page))
    return [
        Section("learning", "Learning").draw(run, "log.jsonl", learning_curves),
        Section("accuracy", "Accuracy").draw(run, "predictions.npz", confusion_matrix, accuracy_by_class),
        Section("activity", "Activity").draw(
            run, "activity.npz", firing_by_layer, spike_raster, attention_maps, membrane_histograms
        ),
        Section("cost", "Cost").draw(
            run,
            "audit.json",
            operations_by_layer,
            energy_by_layer,
            energy_by_table,
            tables.energy_table,
            tables.tables_table,
            tables.sources_table,
            tables.traffic_table,
            tables.layers_table,
        ),
        Section("proof", "Proof")
        .draw(run, "audit.json", tables.deployed_table)
        .draw(run, "audit_trained.json", tables.trained_table),
        Section("integers", "Integers").draw(
            run, "verify.json", tables.verification_table, tables.bounds_table
        ),
        setting.draw(run, "environment.json", tables.environment_table).draw(
            run, "recipe.json", tables.recipe_table
        ),
        files,
    ]
