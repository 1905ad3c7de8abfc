"""Validated records of options whose errors are one line that names the option.

Each option is declared once, with its type, bounds, default and description.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, TypeAlias, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails

from gdw.errors import ConfigError, brief, nearest


def _number(value: Any) -> Any:
    """Refuse true and false; read text such as `1e-3`, which YAML does not take for a number."""
    if isinstance(value, bool):
        raise ValueError("expected a number")
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise ValueError("expected a number") from None
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("expected a whole number")
    return value


Number: TypeAlias = Annotated[float, BeforeValidator(_number)]
NotNegative: TypeAlias = Annotated[Number, Field(ge=0, allow_inf_nan=False)]
Share: TypeAlias = Annotated[Number, Field(ge=0, le=1)]
Whole: TypeAlias = Annotated[int, BeforeValidator(_whole)]
Count: TypeAlias = Annotated[Whole, Field(ge=1)]


class Group(str):
    """The heading under which the command line shows an option: `Annotated[int, Group("Training")]`."""


class Form(str):
    """What stands for the value of an option in the help: `Annotated[str, Form("COLUMN")]`."""


class Options(BaseModel):
    """Base of all records of options.

    A record is frozen and takes no unknown options. A value that does not fit raises `ConfigError` with
    one line. `model_fields_set` holds the names of the options that were passed, so that a default can be
    told from the same value passed explicitly. The description of a field is the text that the user reads
    in `gdw train --help` and `gdw methods NAME`.
    """

    what: ClassVar[str] = ""
    """The word before "option" in error messages, with a space after it, such as "training "."""
    group: ClassVar[Group] = Group("Options")
    """The heading for the options that do not name one with `Group`."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except ValidationError as error:
            raise ConfigError(_one_line(error, type(self))) from None

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """The options that were passed: the others have their defaults."""
        return ((k, v) for k, v in super().__repr_args__() if k in self.model_fields_set)

    @field_validator("*", mode="before")
    @classmethod
    def _booleans_are_not_numbers(cls, value: object, info: ValidationInfo) -> object:
        # pydantic would read `lr: true` as 1.0.
        if isinstance(value, bool) and info.field_name is not None:
            types = set(plain_types(cls.model_fields[info.field_name].annotation))
            if types & {int, float} and bool not in types:
                raise ValueError("expected a number")
        return value

    def plain(self) -> dict[str, Any]:
        """All options as values that YAML and a checkpoint can hold; other objects by qualified name."""
        return {name: _plain(value) for name, value in self.model_dump().items()}


def plain_types(annotation: Any) -> list[Any]:
    """The types that an annotation admits, without None: `[int]` for `Annotated[int, ...] | None`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return plain_types(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [kind for part in get_args(annotation) for kind in plain_types(part)]
    return [] if annotation in (None, NoneType) else [annotation]


def signature_of(options: type[Options]) -> inspect.Signature:
    """The signature `(model, optimizer, *, option=default, ...)` of a method with these options."""
    positional = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        for name in ("model", "optimizer")
    ]
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=field.get_default())
        for name, field in options.model_fields.items()
    ]
    return inspect.Signature([*positional, *keywords])


def described(options: type[Options]) -> str:
    """The options as the lines of a docstring, one option per line."""
    return "\n".join(
        f"        {name}: {field.description} Default: {field.get_default()!r}."
        for name, field in options.model_fields.items()
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def _one_line(error: ValidationError, options: type[Options]) -> str:
    return "; ".join(_describe(detail, options) for detail in error.errors(include_url=False))


def _describe(detail: ErrorDetails, options: type[Options]) -> str:
    if not detail["loc"]:
        return str(detail["ctx"]["error"]) if "ctx" in detail else detail["msg"]
    name = ".".join(str(part) for part in detail["loc"])
    value = detail["input"]
    if detail["type"] == "extra_forbidden":
        hint = nearest(name, options.model_fields) or _listed(options.model_fields)
        return f"unknown {options.what}option {name!r}.{hint}"
    if detail["type"] == "missing":
        return f"{name}: expected a value, found none"
    if detail["type"] == "literal_error":
        hint = nearest(str(value), _choices(name, options))
        return f"{name}: expected {detail['ctx']['expected']}, found {brief(value)}.{hint}"
    if detail["type"] == "value_error":
        return f"{name}: found {brief(value)}, {detail['ctx']['error']}"
    expected = detail["msg"][:1].lower() + detail["msg"][1:]
    return f"{name}: {expected}, found {brief(value)}"


def _choices(name: str, options: type[Options]) -> list[str]:
    field = options.model_fields.get(name)
    if field is None:
        return []
    return [str(choice) for kind in plain_types(field.annotation) for choice in get_args(kind)]


def _listed(fields: Iterable[str]) -> str:
    known = " Known options: " + ", ".join(fields) + "."
    return known + " Those of a method go into method_options." * ("method_options" in fields)
