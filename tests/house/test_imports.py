"""Imports stay lazy: the runtime and the first screen of the command need no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

import spikedrive


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after `code`."""
    script = f"{code}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import spikedrive",
        "import spikedrive.engine",
        "import spikedrive.engine.runtime",
        "import spikedrive; spikedrive.load",
        "import spikedrive.cli",
        "from spikedrive.cli.app import app; app(['--help'], standalone_mode=False)",
        "import spikedrive.data; spikedrive.data.decode",
        "import spikedrive.reports",
    ],
)
def test_torch_is_not_imported(code: str) -> None:
    assert "torch" not in loaded_by(code)


def test_the_runtime_needs_numpy_only() -> None:
    ours = loaded_by("import spikedrive.engine.runtime")
    assert ours.isdisjoint(
        {"torch", "pydantic", "safetensors", "matplotlib", "plotly", "typer", "rich", "PIL"}
    )


@pytest.mark.parametrize("name", spikedrive.__all__)
def test_every_public_name_resolves_and_is_documented(name: str) -> None:
    thing = getattr(spikedrive, name)
    assert thing.__doc__
    assert name in dir(spikedrive)


def test_a_wrong_public_name_lists_the_right_ones() -> None:
    with pytest.raises(
        AttributeError, match=r"no attribute 'creat_model'; public names: Audit, .*create_model"
    ):
        _ = spikedrive.creat_model
