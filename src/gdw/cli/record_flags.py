"""The options of records as parameters of a command: flags, help, choices, defaults and panels."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from gdw.cli.app import listed_names
from gdw.errors import ConfigError, brief
from gdw.options import Form, Group, Options, plain_types

MOST_USED = "Most used"

_FORMS = {int: "N", float: "NUMBER", bool: None}
"""How the value of an option is called, by its type, if its field does not have a `Form`."""


def add_record_flags(
    records: Sequence[type[Options]],
    *,
    first: Sequence[str] = (),
    panels: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
    completions: Mapping[str, Iterable[str]] | None = None,
    defaults: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
    texts: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command so that it takes one keyword argument for each field of `records`.

    The command itself declares `**options`, where the values of the fields arrive by their names. Its own
    parameters come first, and are sorted into the panels of the help with the others.

    Args:
        records: classes of options; no field may occur in two of them.
        first: parameters that the help shows first, in this order, in the panel "Most used".
        panels: the order of the other panels; those not named follow in the order of the records.
        names: by field, another flag than the name of the field, or the name of an argument: "DATA".
        completions: by field, what the shell completes, if the field is not a `Literal`.
        defaults: by field, what the help says of its default, if the command chooses it.
        only: the fields that the command has; by default all.
        texts: by field, another description than that of the record.
    """
    other_names, completed, shown = names or {}, completions or {}, defaults or {}
    descriptions = texts or {}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        parameters = {parameter.name: parameter for parameter in own}
        for record in records:
            for name, field in record.model_fields.items():
                if only is not None and name not in only:
                    continue
                if name in parameters:
                    raise TypeError(f"{record.__name__}.{name}: two options of this name")
                parameters[name] = _parameter(
                    name,
                    field,
                    record.group,
                    other_names.get(name),
                    tuple(completed.get(name, ())),
                    shown.get(name, _shown_default(field)),
                    descriptions.get(name, field.description),
                )
        keywords = [
            parameter.replace(kind=parameter.KEYWORD_ONLY)
            for parameter in _sorted(list(parameters.values()), first, panels)
        ]
        command.__signature__ = signature.replace(parameters=keywords)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in keywords}
        return command

    return decorate


def _parameter(
    field_name: str,
    field: FieldInfo,
    group: Group,
    other_name: str | None,
    completed: Sequence[str],
    default: Any,
    description: str | None,
) -> inspect.Parameter:
    """The parameter of a command for one field of a record."""
    kinds = plain_types(field.annotation)
    kind = kinds[0] if len(kinds) == 1 else str
    flag = other_name or f"--{field_name.replace('_', '-')}"
    information: Any
    if flag.startswith("--"):
        panel = next((m for m in field.metadata if isinstance(m, Group)), group)
        form = next((m for m in field.metadata if isinstance(m, Form)), None)
        information = _option(flag, kind, description, panel, completed, form)
    else:
        information = typer.Argument(help=description, metavar=flag)
    return inspect.Parameter(
        field_name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[_flag_type(kind), information],
    )


def _option(
    flag: str,
    kind: Any,
    description: str | None,
    panel: str,
    completed: Sequence[str],
    form: str | None,
) -> Any:
    """What typer needs to know about a flag. The record checks its value, not typer."""
    choices = list(map(str, get_args(kind))) if get_origin(kind) is Literal else []
    offered = choices or completed
    return typer.Option(
        f"{flag}/--no-{flag.removeprefix('--')}" if kind is bool else flag,
        help=description,
        metavar=form or "|".join(choices) or _FORMS.get(kind, "TEXT"),
        autocompletion=(lambda: offered) if offered else None,
        rich_help_panel=panel,
    )


def _flag_type(kind: Any) -> Any:
    """The type that typer reads: whether, a text, or repeated texts.

    The record turns texts into numbers, so that an error is the same as for a configuration file.
    """
    if (get_origin(kind) or kind) in (list, tuple, dict):
        return list[str] | None
    return bool if kind is bool else str | None


def _shown_default(field: FieldInfo) -> Any:
    """The default of a flag, which the help shows. The record itself fills in what was not passed."""
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    if isinstance(default, bool):
        return default
    return None if default in (None, [], {}) else str(default)


def _information(parameter: inspect.Parameter) -> Any:
    """What typer was told about a parameter; None for the context."""
    return next(iter(get_args(parameter.annotation)[1:]), None)


def _panel(parameter: inspect.Parameter) -> Any:
    return getattr(_information(parameter), "rich_help_panel", None)


def _sorted(
    parameters: list[inspect.Parameter], first: Sequence[str], panels: Sequence[str]
) -> list[inspect.Parameter]:
    """The parameters in the order of the help, those named in `first` moved to their own panel."""
    order: list[str] = [MOST_USED, *panels]
    order += [p for p in map(_panel, parameters) if p is not None and p not in order]
    for parameter in parameters:
        if parameter.name in first:
            _information(parameter).rich_help_panel = MOST_USED

    def position(parameter: inspect.Parameter) -> tuple[int, int]:
        panel = _panel(parameter)
        within = first.index(parameter.name) if parameter.name in first else 0
        return (-1, 0) if panel is None else (order.index(panel), within)

    return sorted(parameters, key=position)


def value_of_flag(field: str, value: Any) -> Any:
    """The value of a flag for its record: method options are NAME=VALUE, lists are separated by commas.

    Quotes keep a comma within a name.
    """
    if not isinstance(value, list):
        return value
    if field == "method_options":
        return _settings(value)
    return listed_names(value)


def _settings(pairs: list[str]) -> dict[str, Any]:
    """Options of a method from texts `NAME=VALUE`; each value is read as YAML."""
    from gdw.files.yaml_files import parse_yaml

    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(
                f"--set takes NAME=VALUE, such as folds=2, found {pair!r}: gdw methods METHOD lists the names"
            )
        try:
            settings[name.strip()] = parse_yaml(value)
        except ValueError as error:
            raise ConfigError(
                f"--set {name}: cannot read the value {brief(value)} as YAML: {error}"
            ) from None
    return settings
