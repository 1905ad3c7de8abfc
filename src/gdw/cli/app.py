"""The command `gdw`: its commands by name, what they print, and errors as one line each."""

from __future__ import annotations

import csv
import importlib
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from gdw._version import __version__
from gdw.errors import ConfigError, GDWError, nearest, one_line, printable

# Each command is the function of this name in the module of this name, in the order of need.
COMMANDS = (
    "demo",
    "suggest",
    "verify",
    "train",
    "audit",
    "report",
    "evaluate",
    "predict",
    "methods",
    "experiment",
    "cache",
    "bench",
)

# The common base of typer's errors about the command line: `typer` does not export it.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

CLOSED_PIPE = 141
"""The exit status of a program that wrote to a closed pipe, in shells: 128 and the number of SIGPIPE."""

_EXAMPLES = (
    ("see what it does, in a minute or two", "gdw demo"),
    (
        "train on your data; in verified.csv are rows whose labels you have checked",
        "gdw train data.csv --label animal --meta verified.csv --output runs/animals",
    ),
    ("list the labels that are probably wrong", "gdw audit runs/animals"),
    ("the same as a page, with the examples", "gdw report runs/animals"),
)

_EMPTY = re.compile(r"(?:(--[^=]*)=)?\s*")


# Parameters that several commands have.
RunFolder = Annotated[Path, typer.Argument(help="The folder of a run.", metavar="RUN")]
MovedData = Annotated[
    str | None,
    typer.Option(
        help="Where the training data are now. If not given, where they were in training.",
        metavar="PATH",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        help="Use only this many rows, drawn at random. If not given, all rows.", metavar="N"
    ),
]
SkipBroken = Annotated[
    bool | None,
    typer.Option(
        help="Leave out images that cannot be read, instead of refusing the data. If not given, as in "
        "training."
    ),
]


class Command(TyperCommand):
    """A command with a help page of its own, whose `examples` come first."""

    examples: tuple[tuple[str, str], ...] = ()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page of the command."""
        _write_help(self, ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer does, but without arguments, a command that needs some shows its usage and examples."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            _teach(self, ctx)
        try:
            return super().parse_args(ctx, args)
        except _UsageError as error:
            vars(error)["ctx"] = vars(error).get("ctx") or ctx  # an error of the parser names none
            raise


class Commands(TyperGroup):
    """The commands of `gdw`. The module of a command is imported when the command is used or listed."""

    examples = _EXAMPLES

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        _write_help(self, ctx, formatter)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            if ctx.resilient_parsing:
                return None
            raise ConfigError(
                f"gdw has no command {cmd_name!r}.{nearest(cmd_name, COMMANDS)} "
                f"Its commands: {', '.join(COMMANDS)}"
            )
        module = importlib.import_module(f"gdw.cli.{cmd_name}")
        app = typer.Typer(add_completion=False)
        app.command(
            cmd_name,
            cls=Command,
            epilog=getattr(module, "EPILOG", None),
            no_args_is_help=getattr(module, "NEEDS_ARGUMENTS", False),
        )(getattr(module, cmd_name))
        command: Any = typer.main.get_command(app)
        command.examples = module.EXAMPLES
        return command

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer does, but with one line for an error."""
        try:
            if not ctx.resilient_parsing:
                _refuse_empty(args)
            if not args and not ctx.resilient_parsing and self.no_args_is_help:
                _teach(self, ctx)
            return super().parse_args(ctx, args)
        except (ConfigError, OSError, _UsageError) as error:
            raise typer.Exit(_report(error)) from None

    def invoke(self, ctx: Any) -> Any:
        """Run the command that `ctx` names; an error that the user can mend becomes one line."""
        try:
            return super().invoke(ctx)
        except (GDWError, OSError, KeyboardInterrupt, _UsageError) as error:
            raise typer.Exit(_report(error)) from None


def _write_help(command: Any, ctx: Any, formatter: Any) -> None:
    from gdw.cli.help_page import help_page

    formatter.write(help_page(command, ctx))


def _teach(command: Any, ctx: Any) -> None:
    """Without any argument: show how the command is used, on standard error, and end with the status 2."""
    from gdw.cli.help_page import help_page, usage_page

    page = help_page if isinstance(command, Commands) else usage_page
    typer.echo(page(command, ctx), err=True, nl=False)
    raise typer.Exit(2)


def _refuse_empty(args: list[str]) -> None:
    """Refuse an empty argument, such as a variable of the shell that is not set: a path would be this folder.

    Raises:
        ConfigError: an argument, or the value of an option, is empty.
    """
    for before, arg in pairwise(["", *args]):
        empty = _EMPTY.fullmatch(arg)
        option = before if empty is None else empty[1] or before
        # The cells of a file may be separated by spaces or tabs.
        if empty is not None and not (option == "--delimiter" and arg[-1:].isspace()):
            name = option if option.startswith("-") else "an argument"
            raise ConfigError(f"{name}: expected a value, found an empty one")


def say(text: str, *, err: bool = False) -> None:
    """Print a line, on standard error if `err`; names in it, such as those of classes, may hold anything."""
    typer.echo(printable(text), err=err)


def say_once(message: str) -> None:
    """Print one line, `gdw: message`, on standard error; of several processes the first one does."""
    if os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0":
        say(f"gdw: {one_line(message)}", err=True)


def note(message: object) -> None:
    """Print a note about what the user wrote as one line, `gdw: note: message`, on standard error."""
    say_once(f"note: {message}")


@contextmanager
def notes_of_warnings(category: type[Warning]) -> Iterator[None]:
    """Inside, each warning of `category` becomes a note on standard error; other warnings pass through."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", category)
        yield
    for warning in caught:
        if issubclass(warning.category, category):
            note(warning.message)
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )


def waiting_on_terminal(text: str) -> AbstractContextManager[None]:
    """A context with a sign of life, `gdw.cli.waiting.waiting`, if standard error is a terminal."""
    if not sys.stderr.isatty():
        return nullcontext()
    from gdw.cli.waiting import waiting

    return waiting(text)


def listed_names(values: list[str]) -> list[str]:
    """The names in the values of an option, separated by commas. Quotes keep a comma within a name."""
    rows = csv.reader(values, skipinitialspace=True)
    return [name.strip() for row in rows for name in row if name.strip()]


def cell(text: str) -> str:
    """Text for a cell or a title of a table: shown as it is, without markup."""
    from rich.markup import escape

    return escape(printable(text).replace("\n", "\\n"))


def silence_output() -> None:
    """Drop what is still in the buffer of standard output: it cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(error: BaseException) -> int:
    if isinstance(error, BrokenPipeError):  # the reader, such as `head`, has seen enough
        silence_output()
        return CLOSED_PIPE
    from gdw.cli.errors import report

    return report(error)


app = typer.Typer(
    name="gdw",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Help on a command: gdw COMMAND --help",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"gdw {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Train classifiers on data with wrong labels and unbalanced classes, with some verified examples."""
    del version


def main() -> None:
    """Entry point of the console script."""
    # Threads of PyTorch that wait for others then sleep. By default they spin: a step takes several times
    # longer while another program needs their core.
    if "GOMP_SPINCOUNT" not in os.environ:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # gdw refuses such an image itself, in one line.
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
    try:
        app()
    except SystemExit as end:
        # rich ends the process with status 1 when the reader of a table or of the help is gone.
        if isinstance(end.__context__, BrokenPipeError):
            sys.exit(CLOSED_PIPE)
        raise
