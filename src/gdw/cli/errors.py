"""An error that the user can mend is one line on standard error and an exit status, never a traceback."""

from __future__ import annotations

import os
from typing import Any

import typer

from gdw.errors import DivergenceError, nearest

DIVERGED, WRONG_USE, INTERRUPTED = 1, 2, 130
"""Exit statuses."""


def report(error: BaseException) -> int:
    """Print `error` as one line, `gdw: message`, on standard error; returns the exit status."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return WRONG_USE  # typer has printed the help
    # The processes of a run on several devices all raise the same error: one line is enough.
    if os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0":
        typer.echo(f"gdw: {' '.join(_message(error).split())}", err=True)
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return DIVERGED if isinstance(error, DivergenceError) else WRONG_USE


def _message(error: Any) -> str:
    if hasattr(error, "format_message"):
        return _usage(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "interrupted"
    return str(error)


def _usage(error: Any) -> str:
    """What is wrong with the command line, and the nearest option or where help is."""
    ctx, unknown = error.ctx, str(getattr(error, "option_name", ""))
    command = ctx.command_path if ctx is not None else "gdw"
    if type(error).__name__ == "NoSuchOption" and ctx is not None:
        known = [name for param in ctx.command.get_params(ctx) for name in param.opts]
        return f"{command} has no option {unknown}.{nearest(unknown, known)} See {command} --help"
    message = error.format_message()
    return f"{message[:1].lower()}{message[1:]} See {command} --help"
