"""The command as a whole: help, exit codes, one line for an error."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import spikedrive
from cli.conftest import Command
from spikedrive.cli import app, main, models
from spikedrive.errors import ConfigError

NAMES = [verb.__name__.rpartition(".")[2] for verb in app.VERBS]


@pytest.mark.parametrize("name", NAMES)
def test_each_verb_says_what_it_does(command: Command, name: str) -> None:
    answer = command(name, "--help")
    assert answer.code == 0
    assert f"Usage: spikedrive {name}" in answer.out
    # a first sentence, and help for every option
    assert re.search(r"\n  [A-Z][^\n]+[.,]", answer.out)
    assert not re.search(r"^  --[a-z-]+( [A-Z]+)?\n(?!  {4,})", answer.out, re.M)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("train",)])
def test_verbs_that_read_speak_json(command: Command, name: str) -> None:
    assert "--json" in command(name, "--help").out


def test_no_words_give_the_help(command: Command) -> None:
    answer = command()
    assert all(name in answer.out + answer.err for name in NAMES)


def test_version(command: Command) -> None:
    assert command("--version").out == f"spikedrive {spikedrive.__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tarin"], r"^error: No such command 'tarin'.*spikedrive --help\n$"),
        (["show"], r"(?i)^error: Missing argument 'MODEL'.*spikedrive show --help\n$"),
        (["models", "--jsn"], r"^error: No such option.*--jsn.*spikedrive models --help\n$"),
        (
            ["eval", "run", "--data", "x", "--split", "later"],
            r"^error: Invalid value for '--split'.*'later'.*\n$",
        ),
    ],
)
def test_wrong_words_give_one_line_and_exit_code_2(command: Command, words: list[str], message: str) -> None:
    answer = command(*words)
    assert answer.code == 2
    assert answer.out == ""
    assert re.match(message, answer.err)


def test_errors_of_ours_are_one_line_and_show_a_traceback_on_request(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ConfigError("It got this; it takes\n  that. Do so.")

    monkeypatch.setattr("spikedrive.models.list_models", broken)
    answer = command("models")
    assert answer == (2, "", "error: It got this; it takes that. Do so.\n")
    with pytest.raises(ConfigError, match="It got this"):
        main(["models", "--debug"])
    with pytest.raises(ConfigError, match="It got this"):
        main(["--debug", "models"])


def test_a_bug_is_not_dressed_up_as_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("spikedrive.models.list_models", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main(["models"])


def test_a_reader_that_leaves_early_is_no_error() -> None:
    shell = f"set -o pipefail; {sys.executable} -m spikedrive doctor | true; exit ${{PIPESTATUS[0]}}"
    left = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert "Traceback" not in left.stderr
    assert left.returncode in (0, 1)


def test_module_and_command_are_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "spikedrive", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"spikedrive {spikedrive.__version__}\n"


def test_off_a_terminal_there_is_no_colour() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "spikedrive", "models"], capture_output=True, text=True, check=True
    )
    assert "meta_spikeformer_nano" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert models.__doc__
