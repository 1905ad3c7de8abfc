"""Validated records of options whose errors are one line that names the field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from gdw.errors import ConfigError, nearest


class Options(BaseModel):
    """Base of configuration records: frozen, no unknown fields, `ConfigError` for what does not fit."""

    what: ClassVar[str] = ""
    """The word before "option" in messages, with a space behind it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except ValidationError as error:
            raise ConfigError(_one_line(error, type(self))) from None

    def plain(self) -> dict[str, Any]:
        """All options as YAML and a checkpoint can hold them; other objects by qualified name."""
        return {name: _plain(value) for name, value in self.model_dump().items()}


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
    found = detail["input"]
    if detail["type"] == "extra_forbidden":
        hint = nearest(name, options.model_fields) or _listed(options.model_fields)
        return f"unknown {options.what}option {name!r}.{hint}"
    if detail["type"] == "missing":
        return f"{name}: expected a value, found none"
    if detail["type"] == "literal_error":
        hint = nearest(found, _choices(name, options)) if isinstance(found, str) else ""
        return f"{name}: expected {detail['ctx']['expected']}, found {found!r}.{hint}"
    if detail["type"] == "value_error":
        return f"{name}: found {found!r}, {detail['ctx']['error']}"
    expected = detail["msg"][:1].lower() + detail["msg"][1:]
    return f"{name}: {expected}, found {found!r}"


def _choices(name: str, options: type[Options]) -> list[str]:
    field = options.model_fields.get(name)
    return [str(choice) for choice in get_args(field.annotation)] if field else []


def _listed(fields: Iterable[str]) -> str:
    return " Known options: " + ", ".join(fields) + "."
