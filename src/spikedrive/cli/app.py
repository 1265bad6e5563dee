"""The command `spikedrive`: its verbs, its exit codes, and errors on one line.

Exit codes: 0 yes or done, 1 a negative answer (an audit below what was required, integers that
differ), 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

import spikedrive
from spikedrive.cli import (
    audit,
    bench,
    compare,
    compile,
    demo,
    doctor,
    eval,
    events,
    generate,
    infer,
    models,
    neurons,
    predict,
    report,
    show,
    train,
    watch,
)
from spikedrive.cli.output import fail
from spikedrive.errors import SpikedriveError

VERBS = (
    models,
    neurons,
    show,
    train,
    eval,
    predict,
    audit,
    compile,
    infer,
    generate,
    watch,
    bench,
    compare,
    report,
    demo,
    doctor,
)

app = typer.Typer(
    name="spikedrive",
    add_completion=False,
    no_args_is_help=True,
    # plain help: no colour off a terminal, and no rich at start
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for verb in VERBS:
    app.command(verb.__name__.rpartition(".")[2])(verb.verb)
# a group: its own verbs stand behind it
app.add_typer(events.app, name="events")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spikedrive {spikedrive.__version__}")
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; after any verb too.")
    ] = False,
) -> None:
    """Train spiking networks, prove that they need additions only, and run them on integers."""


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    # read by OpenMP when torch loads it: threads that wait for each other yield their core soon, without which a
    # machine that has other work to do trains many times slower
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    words = list(sys.argv[1:] if args is None else args)
    # a traceback is asked for after the fact, so the flag is taken wherever it was added
    debug = "--debug" in words
    words = [w for w in words if w != "--debug"]
    try:
        answer: Any = typer.main.get_command(app).main(words, prog_name="spikedrive", standalone_mode=False)
    except KeyboardInterrupt:
        return 130
    except typer.Abort:
        return 130
    except BrokenPipeError:
        # the reader of our output has left, as `head` does; nothing more can be said to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except SpikedriveError as error:
        if debug:
            raise
        return fail(error)
    except Exception as error:
        usage = getattr(error, "format_message", None)
        if debug or usage is None:
            raise
        return fail(_usage(error, usage()))
    return answer if isinstance(answer, int) else 0


def _usage(error: Exception, message: str) -> str:
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "spikedrive")
    return f"{message} See: {path} --help"
