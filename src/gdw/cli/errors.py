"""An error that the user can mend is one line on standard error and an exit status, never a traceback."""

from __future__ import annotations

import os
import re
import traceback
from pathlib import Path
from typing import Any

from gdw.cli.app import say_once, silence_output
from gdw.errors import DivergenceError, GDWError, OutputError, nearest

DIVERGED, WRONG_USE, INTERRUPTED = 1, 2, 130
"""Exit statuses."""


def report(error: BaseException) -> int:
    """Print `error` as one line, `gdw: message`, on standard error; returns the exit status."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return WRONG_USE  # typer has printed the help
    say_once(_message(error))
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return DIVERGED if isinstance(error, DivergenceError) else WRONG_USE


def _message(error: Any) -> str:
    if hasattr(error, "format_message"):
        return _usage(error)
    if isinstance(error, OSError) and not isinstance(error, GDWError) and error.strerror:
        return _of_system(error)
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "interrupted"
    return str(error)


def _of_system(error: OSError) -> str:
    if not isinstance(error.filename, (str, bytes)):
        if _is_of_output(error):
            silence_output()
            return str(OutputError.of(error, "standard output"))
        return (
            f"a file cannot be read or written, and the system does not say which: {error.strerror}. Check "
            "the place of the output and the folder for temporary files"
        )
    path = Path(os.fsdecode(error.filename))
    # Files are written under such a name first.
    written = re.fullmatch(r"\.(.+)\.gdw-[a-z0-9_]{8}\.tmp", path.name, re.DOTALL)
    return f"{error.strerror}: {path.with_name(written[1]) if written else path}"


def _is_of_output(error: OSError) -> bool:
    """Whether the error comes from the libraries through which all of standard output goes."""
    *_, (frame, _line) = [(None, 0), *traceback.walk_tb(error.__traceback__)]
    module = frame.f_globals.get("__name__", "") if frame is not None else ""
    return module.partition(".")[0] in ("rich", "typer")


def _usage(error: Any) -> str:
    """What is wrong with the command line, and the nearest option or where help is."""
    ctx, kind = error.ctx, type(error).__name__
    command = ctx.command_path if ctx is not None else "gdw"
    if kind == "NoSuchOption" and ctx is not None:
        what = f"{command} has no option {error.option_name}.{_hint(ctx, error.option_name)}"
    elif kind == "MissingParameter" and error.param is not None:
        what = f"{command} needs {_described(error.param)}."
    else:
        what = f"{_uncapitalised(error.format_message().rstrip('.'))}."
    return f"{what} See {command} --help"


def _hint(ctx: Any, unknown: str) -> str:
    """Instead of an option that the command of `ctx` does not have."""
    known = [name for param in ctx.command.get_params(ctx) for name in param.opts]
    return (_set_instead(unknown) if ctx.info_name == "train" else "") or nearest(unknown, known)


def _described(param: Any) -> str:
    from gdw.cli.help_page import name_as_typed

    about = param.help.rstrip(".").partition(". ")[0]
    return f"{name_as_typed(param)} ({_uncapitalised(about)})"


def _uncapitalised(text: str) -> str:
    return text[:1].lower() + text[1:]


def _set_instead(flag: str) -> str:
    """How to set `flag`, such as `--clip`, if it is the name of an option of a method; or nothing."""
    name = flag.lstrip("-").replace("-", "_")
    if not _in_a_method(name):
        return ""
    from gdw.reweight.registry import METHODS

    if not any(name in method.Options.model_fields for method in METHODS.values()):
        return ""
    return f"{METHODS.hint(name)} Set it with --set {name}=VALUE."


def _in_a_method(name: str) -> bool:
    """Whether the source of a method declares `name`. To import the methods would take seconds."""
    import gdw.reweight

    declared = re.compile(rf"^    {re.escape(name)}: ", re.MULTILINE)
    sources = Path(gdw.reweight.__file__).parent.rglob("*.py")
    return any(declared.search(source.read_text(encoding="utf-8")) for source in sources)
