"""Models that the command line imports: `package.module:build --example 1,3,32,32`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.conftest import Command

CODE = """
import torch
from torch import nn

from spikedrive.neurons import LIF


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.lif, self.out = nn.Linear(6, 8), LIF(), nn.Linear(8, 3)

    def forward(self, x):
        return self.out(self.lif(self.fc(x)))


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)

    def forward(self, ids, weight):
        return (self.embed(ids) * weight).sum(1)


ready, number = Net(), 3
build = Net


def needs(width):
    return Net()


def list_of():
    return [Net()]


class Picky(Net):
    def forward(self, x):
        if x.sum() > 0:
            return super().forward(-x)
        return super().forward(x)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A current folder with a package `nets` of one module `small`, which nothing has imported."""
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "__init__.py").touch()
    (tmp_path / "nets" / "small.py").write_text(CODE)
    (tmp_path / "nets" / "broken.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] == "nets"]:
        del sys.modules[name]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("name", ["build", "Net", "ready"])
def test_what_gives_a_module_is_audited(command: Command, name: str) -> None:
    words = ("audit", f"nets.small:{name}", "--example", "4,1,6", "--batch-axis", 1, "--json")
    answer = command(*words, "--require", "additive")
    assert answer.code == 0
    audited = json.loads(answer.out)
    assert (audited["model"], audited["verdict"], audited["analog"]) == ("Net", "additive", ["fc"])
    assert audited["totals"]["additions"] == 4 * 8 * 3


@pytest.mark.usefixtures("project")
def test_several_inputs_of_several_types(command: Command) -> None:
    answer = command(
        "audit", "nets.small:Words", "--example", "1,5:int64", "--example", "1,5,1", "--require", "additive"
    )
    assert answer.code == 1
    assert "aten.mul.Tensor (nets/small.py:23): 20 a sample" in answer.out


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    "words",
    [("nets.small:ready", "--example", "4,1,6"), ("meta_spikeformer_nano",)],
    ids=["imported", "named"],
)
def test_the_same_words_give_the_same_weights(
    command: Command, tmp_path: Path, words: tuple[str, ...]
) -> None:
    kept = tmp_path / "audit.json"
    assert command("audit", *words, "--out", kept).code == 0
    # as in a process of its own
    sys.modules.pop("nets.small", None)
    answer = command("audit", *words, "--check", kept)
    assert (answer.code, "the certificate holds" in answer.out) == (0, True), answer.out


FAILURES = [
    ("smal:build 1,6", "There is no module 'nets.smal'; one that Python finds from .* is accepted"),
    (
        "broken:build 1,6",
        "Importing nets.broken raised ModuleNotFoundError: No module named 'a_package_that_",
    ),
    ("small:bild 1,6", "There is no attribute of nets.small named 'bild'; .* The nearest: build"),
    ("small: 1,6", "'nets.small:' is no package.module:attribute"),
    ("small:number 1,6", "nets.small:number is of type int; a torch.nn.Module, or a callable that gives one"),
    ("small:list_of 1,6", "nets.small:list_of is of type list"),
    ("small:needs 1,6", r"nets.small:needs\(\) raised TypeError: .*missing 1 required"),
    ("small:build", "No example was given; .* Add --example"),
    ("small:build 1x6", "--example 1x6 is no shape; sizes with commas between"),
    ("small:build 1,6:int7", "There is no type of an example named 'int7'"),
    ("small:build 4,1,7", r"Net does not take an example of shape \(4, 1, 7\) \(RuntimeError: mat1"),
    ("small:build 4,1,6 1", r"does not take an example of shape \(4, 1, 6\) and \(1,\)"),
    ("small:build 4,1,6 --fused", "nets.small:build is a Net and came with --fused"),
    ("small:build 4,1,6 --data=digits", "came with --data; that takes a model of this library"),
    ("small:Picky 4,1,6", "Picky cannot be exported: .*small.py:[0-9]*, `if x.sum"),
]


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(("line", "reason"), FAILURES, ids=[line for line, _ in FAILURES])
def test_every_failure_names_its_reason(command: Command, line: str, reason: str) -> None:
    target, *others = line.split(" ")
    words = [word if word.startswith("-") else f"--example={word}" for word in others]
    answer = command("audit", f"nets.{target}", *words)
    assert (answer.code, answer.out) == (2, "")
    # before it PyTorch may print the graph that it could not finish
    said = answer.err.splitlines()[-1]
    assert re.match(f"error: .*{reason}", said), said
