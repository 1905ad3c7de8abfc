"""`gdw methods`: the training methods by family, and the options of one of them."""

from __future__ import annotations

import inspect
import textwrap
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from gdw.cli.app import say
from gdw.options import plain_types
from gdw.reweight.registry import METHODS

EPILOG = "Example: gdw methods focal"

_TYPES = {bool: "true or false", int: "whole number", float: "number", str: "text"}


def methods(
    name: Annotated[str | None, typer.Argument(help="The method to describe.")] = None,
) -> None:
    """List the training methods, or describe one of them with its options."""
    if name is None:
        _list()
    else:
        _describe(name)


def _list() -> None:
    width = max(map(len, METHODS))
    for family, members in METHODS.families().items():
        say(f"{family}:")
        for name, summary in members:
            say(f"  {name:{width}}  {summary}")
    say("Options of a method: gdw methods NAME. Use one: gdw train ... --method NAME")


def _describe(name: str) -> None:
    from gdw.train.config import NOT_IN_TRAINING

    method = METHODS.require(name)
    say(f"{name}: {METHODS.summary(name)}\n\n{_description(method)}\n")
    options = {
        option: field
        for option, field in method.Options.model_fields.items()
        if option not in NOT_IN_TRAINING
    }
    say("Options, each set with --set NAME=VALUE:" if options else "It has no options.")
    for option, field in options.items():
        default = _yaml(field.get_default(call_default_factory=True))
        details = [*_values(field.annotation), *_bounds(field.metadata), f"default {default}"]
        say(f"  {option}: {', '.join(details)}")
        say(textwrap.indent(textwrap.fill(field.description or "", 88), "      "))


def _description(method: type) -> str:
    """The docstring of the method, without the example and the list of options, which are for Python."""
    paragraphs = inspect.cleandoc(method.__doc__ or "").split("\n\n")
    return "\n\n".join(
        paragraph
        for paragraph in map(str.strip, paragraphs)
        if not paragraph.startswith((">>>", "Options:", "Args:"))
    )


def _values(annotation: Any) -> list[str]:
    """The values that an annotation admits, in words; nothing where its description must say it."""
    words = [
        "|".join(map(str, get_args(kind))) if get_origin(kind) is Literal else _TYPES.get(kind)
        for kind in plain_types(annotation)
    ]
    return [" or ".join(word for word in words if word)] if any(words) else []


def _bounds(metadata: list[Any]) -> list[str]:
    """The bounds of a number, in words."""
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return [
        f"{word} {getattr(bound, name):g}"
        for bound in metadata
        for name, word in words.items()
        if hasattr(bound, name)
    ]


def _yaml(value: Any) -> str:
    """A default as `--set` would take it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "not set" if value is None else str(value)
