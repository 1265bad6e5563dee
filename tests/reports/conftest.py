"""What the report's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from synthetic_run import MODEL, NAMES

from spikedrive.models import create_model
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
