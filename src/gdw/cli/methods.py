"""`gdw methods`: the training methods by family, and the options of one of them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from gdw.cli.app import say
from gdw.cli.tables import say_wrapped
from gdw.experiments.contenders import CONTENDERS, contender_class
from gdw.options import Options, plain_types
from gdw.reweight.registry import METHODS

EXAMPLES = (
    ("all methods, each in one line", "gdw methods"),
    ("one of them with its options, defaults and presets", "gdw methods gdw"),
    (
        "set some of them",
        "gdw train data.csv --output run --method gdw --set preset=short --set clip=0.5",
    ),
)

_NOT_SET = "not set"
_ONLY_IN_GRIDS = "Without a network, only in gdw experiment"
_TYPES = {bool: "true or false", int: "whole number", float: "number", str: "text"}


def methods(
    name: Annotated[
        str | None,
        typer.Argument(
            help="The method to describe. If not given, all are listed.", metavar="[NAME]"
        ),
    ] = None,
) -> None:
    """List the training methods, or describe one of them with its options."""
    if name is None:
        _list()
    elif name in CONTENDERS:
        _describe_contender(name)
    else:
        _describe(name)


def _list() -> None:
    width = max(map(len, METHODS))
    without_network = [(name, entry.summary) for name, entry in CONTENDERS.items()]
    families = {**METHODS.families(), _ONLY_IN_GRIDS: without_network}
    for family, members in families.items():
        say(f"{family}:")
        for name, summary in members:
            say_wrapped(f"  {name:{width}}  {summary}", indent=width + 4)
    say("Options of a method: gdw methods NAME. Use one: gdw train ... --method NAME")


def _describe_contender(name: str) -> None:
    contender = contender_class(name)
    for paragraph in (f"{name}: {CONTENDERS[name].summary}", *_description(contender)):
        say_wrapped(paragraph)
        say("")
    say_wrapped(
        "It trains no network, so gdw train does not have it; gdw experiment compares it with the others. "
        "Options, set in a protocol with method_options: {NAME: VALUE}"
    )
    for option, field in contender.model_fields.items():
        for line in _in_words(option, field):
            say_wrapped(line, indent=6)


def _describe(name: str) -> None:
    from gdw.train.config import NOT_IN_TRAINING

    method = METHODS.require(name)
    for paragraph in (f"{name}: {METHODS.summary(name)}", *_description(method)):
        say_wrapped(paragraph)
        say("")
    fields = method.Options.model_fields.items()
    options = {option: field for option, field in fields if option not in NOT_IN_TRAINING}
    lines = [line for option, field in options.items() for line in _in_words(option, field)]
    heading = "Options, each set with --set NAME=VALUE:" if lines else "It has no options."
    for line in (heading, *lines, *_presets(method.Options), *_example(name, options)):
        say_wrapped(line, indent=6)


def _in_words(option: str, field: FieldInfo) -> tuple[str, str]:
    """An option with the values that it takes, and its description."""
    details = [*_values(field.annotation), *_bounds(field.metadata), f"default {_default(field)}"]
    return f"  {option}: {', '.join(details)}", f"      {_plain(field.description or '')}"


def _example(name: str, options: Mapping[str, FieldInfo]) -> list[str]:
    """How to set the first option that has a default: to that, or to the last of its choices."""
    defaults = {option: _default(field) for option, field in options.items()}
    settings = [
        f"{option}={get_args(options[option].annotation)[-1] if value == 'auto' else value}"
        for option, value in defaults.items()
        if value != _NOT_SET
    ]
    return [f"Example: gdw train ... --method {name} --set {s}" for s in settings[:1]]


def _default(field: FieldInfo) -> str:
    return _yaml(field.get_default(call_default_factory=True))


def _presets(options: type[Options]) -> list[str]:
    """The presets of a method with the options in which they differ; nothing for a method without presets."""
    field = options.model_fields.get("preset")
    names = () if field is None else get_args(plain_types(field.annotation)[0])
    presets = {name: options(preset=name).model_dump(exclude={"preset"}) for name in names}
    lines = [
        f"    {name}: "
        + ", ".join(f"{o}={_yaml(v)}" for o, v in preset.items() if _differs(o, presets))
        for name, preset in presets.items()
    ]
    heading = "Presets, each chosen with --set preset=NAME; options that are given win over it:"
    return [heading, *lines] if lines else []


def _differs(option: str, presets: Mapping[str, Mapping[str, Any]]) -> bool:
    return len({repr(preset[option]) for preset in presets.values()}) > 1


def _description(method: type) -> list[str]:
    """The paragraphs of the docstring, without the example and the list of options, which are for Python."""
    paragraphs = inspect.cleandoc(method.__doc__ or "").split("\n\n")
    return [
        " ".join(_plain(paragraph).split())
        for paragraph in map(str.strip, paragraphs)
        if not paragraph.startswith((">>>", "Options:", "Args:"))
    ]


def _plain(text: str) -> str:
    """A text of a docstring without its marks of code."""
    return text.replace("`", "")


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
    return _NOT_SET if value is None else str(value)
