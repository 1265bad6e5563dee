"""What the report's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from synthetic_run import MODEL, NAMES, write_run

from spikedrive.models import create_model
from spikedrive.reports import write_report
from spikedrive.training import record_activity


@pytest.fixture(scope="session")
def activity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an untrained model does on noise."""
    path = tmp_path_factory.mktemp("activity") / "activity.npz"
    torch.manual_seed(0)
    model = create_model(MODEL, classes=3)
    model.metadata = {"class_names": list(NAMES)}
    images = torch.randint(0, 256, (6, 1, 28, 28), dtype=torch.uint8)
    return record_activity(model, images, [0, 1, 2, 0, 1, 2], path, mean=[0.3], std=[0.3], chosen=4)


@pytest.fixture
def run(tmp_path: Path, activity: Path) -> Path:
    """The folder of a finished run."""
    return write_run(tmp_path / "run", activity)


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory, activity: Path) -> Path:
    """The page of a finished run, not to be changed."""
    return write_report(write_run(tmp_path_factory.mktemp("page") / "run", activity))
