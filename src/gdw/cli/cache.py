"""`gdw cache`: the features that are kept on disk, and removing them."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from gdw.cli.app import say
from gdw.cli.tables import print_table
from gdw.errors import ConfigError, counted, nearest, shown
from gdw.files.memory import in_units

if TYPE_CHECKING:
    from gdw.data.features.contents import CachedBackbone

EXAMPLES = (
    ("what is kept, and how large it is", "gdw cache"),
    ("remove all of it", "gdw cache clear"),
    (
        "remove what nobody used for a month, without a question",
        "gdw cache clear --older-than 30d --yes",
    ),
)

EPILOG = (
    "Features of images and texts by a pretrained network are computed once and kept. The folder is "
    "$GDW_CACHE, or gdw in the folder of the system for caches."
)

_ACTIONS = ("list", "clear")


def _names() -> list[str]:
    from gdw.data.features.contents import cached_backbones

    return sorted({one.name for one in cached_backbones()})


def cache(
    action: Annotated[
        str,
        typer.Argument(
            help="What to do: list or clear.",
            metavar="[list|clear]",
            autocompletion=lambda: _ACTIONS,
            show_default=False,
        ),
    ] = "list",
    backbone: Annotated[
        str | None,
        typer.Option(
            help="Only the features of this backbone. If not given, those of all.",
            metavar="NAME",
            autocompletion=_names,
        ),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            help="Only the features of backbones that were not used for so long, such as 12h, 30d or 4w. If "
            "not given, all.",
            metavar="TIME",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without a question.")] = False,
) -> None:
    """List the features of pretrained networks that are kept on disk, or remove them."""
    from gdw.data.features.contents import cached_backbones, chosen_backbones, remove

    if action not in _ACTIONS:
        raise ConfigError(
            f"expected gdw cache or gdw cache clear, found {action!r}.{nearest(action, _ACTIONS)}"
        )
    if yes and action == "list":
        raise ConfigError("--yes is for gdw cache clear: the list changes nothing")
    chosen = chosen_backbones(cached_backbones(), name=backbone, older_than=older_than)
    if action == "list" or not chosen:
        _list(chosen)
        return
    what = f"{_rows(chosen)} of features by {_several(chosen)}"
    size = in_units(sum(one.size for one in chosen))
    if not yes:
        _ask(f"Remove {what}, {size}?")
    remove(chosen)
    say(f"removed {what}: {size} are free again")


def _list(backbones: Sequence[CachedBackbone]) -> None:
    from gdw.data.features.cache_folder import features_folder

    place = shown(features_folder())
    if not backbones:
        say(f"no features to show or remove in {place}")
        return
    header = ("backbone", "computed in", "rows", "size", "last used")
    rows = [
        (one.name, one.precision, f"{one.rows:,}", in_units(one.size), _date(one.used))
        for one in backbones
    ]
    print_table(header, rows, texts=2)
    total = in_units(sum(one.size for one in backbones))
    say(f"{_rows(backbones)} by {_several(backbones)}: {total} in {place}")


def _ask(question: str) -> None:
    """Go on if the person says yes.

    Raises:
        ConfigError: nobody can be asked.
        typer.Exit: the answer is no.
    """
    if not _on_terminal():
        raise ConfigError(f"{question} Nobody can answer here: give --yes to remove them")
    if not typer.confirm(question, err=True):
        say("nothing is removed", err=True)
        raise typer.Exit(1)


def _on_terminal() -> bool:
    return sys.stdin.isatty()


def _rows(backbones: Sequence[CachedBackbone]) -> str:
    return counted(sum(one.rows for one in backbones), "row")


def _several(backbones: Sequence[CachedBackbone]) -> str:
    return counted(len({one.name for one in backbones}), "backbone")


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
