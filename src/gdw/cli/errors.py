"""A user's mistake is one line on standard error and a non-zero exit status, never a traceback."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import ParamSpec

import typer

from gdw.errors import DivergenceError, GDWError

P = ParamSpec("P")

INTERRUPTED = 130


def one_line_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Wrap a command: `GDWError` and `OSError` become `gdw: message` and exit status 2 (1 if diverged)."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except DivergenceError as error:
            _complain(str(error))
            raise typer.Exit(1) from None
        except GDWError as error:
            _complain(str(error))
            raise typer.Exit(2) from None
        except OSError as error:
            place = f": {error.filename}" if error.filename else ""
            _complain(f"{error.strerror or error}{place}")
            raise typer.Exit(2) from None
        except KeyboardInterrupt as error:
            _complain(str(error) or "interrupted")
            raise typer.Exit(INTERRUPTED) from None

    return wrapped


def _complain(message: str) -> None:
    # Processes started for the others see the same mistake; one line is enough.
    if os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0":
        typer.echo(f"gdw: {' '.join(message.split())}", err=True)
