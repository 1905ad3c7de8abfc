"""What a protocol file says: one base run, and the data, noise, imbalance, methods and seeds to vary."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar

from pydantic import Field, field_validator

from gdw.errors import ConfigError, nearest
from gdw.options import Options

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_T = TypeVar("_T")

Seed: TypeAlias = Annotated[int, Field(ge=0)]


def _spelled(values: object) -> object:
    """A list of texts and nulls: a single value is a list of one, and YAML's `50` is the text `50`."""
    listed = values if isinstance(values, list) else [values]
    return [
        str(v) if isinstance(v, (int, float)) and not isinstance(v, bool) else v for v in listed
    ]


def _as_list(values: object) -> object:
    return values if isinstance(values, list) else [values]


class MethodEntry(Options):
    """One contender: a method of `gdw.reweight.METHODS` with its options, and training options of its own."""

    what: ClassVar[str] = "method "

    method: str
    title: str | None = None
    method_options: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)


class DataEntry(Options):
    """One data set: the options of `gdw.runs.DataConfig` in which it differs from the base.

    `truth` is a column with the true labels, where it is not the label column before the noise was
    added; empty where unknown. `prepare` makes the files first, see `gdw.experiments.material`.
    """

    what: ClassVar[str] = "data "

    title: str | None = None
    truth: str | None = None
    prepare: dict[str, Any] | None = None
    data: dict[str, Any] = Field(default_factory=dict)
    model: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)


class Block(Options):
    """A part of the grid; what it leaves out is as in the protocol."""

    what: ClassVar[str] = "cells "

    data: list[str] = Field(default_factory=list)
    noise: list[str | None] = Field(default_factory=list)
    imbalance: list[str | None] = Field(default_factory=list)
    methods: list[str] = Field(default_factory=list)
    seeds: list[Seed] = Field(default_factory=list)

    _texts = field_validator("data", "noise", "imbalance", "methods", mode="before")(_spelled)
    _numbers = field_validator("seeds", mode="before")(_as_list)


class Protocol(Options):
    """A grid of runs.

    `base` is a run's configuration (`data`, `model`, `training`); `cells`, if given, lists the parts of the
    grid to run instead of every combination. `needs` and `hours` are for the reader. `reference` is the
    method that all others are held against, `measure` the figure that ranks and differences are of:
    balanced accuracy where test data keep an imbalance that the clean examples say should not count.
    """

    what: ClassVar[str] = "protocol "

    name: str
    about: str = ""
    needs: str = ""
    hours: str = ""
    reference: str | None = None
    measure: Literal["accuracy", "balanced_accuracy"] = "accuracy"
    base: dict[str, dict[str, Any]] = Field(default_factory=dict)
    data: dict[str, dict[str, Any]]
    noise: list[str | None] = Field(default=[None])
    imbalance: list[str | None] = Field(default=[None])
    methods: dict[str, dict[str, Any]]
    seeds: list[Seed]
    cells: list[dict[str, Any]] | None = None

    _texts = field_validator("noise", "imbalance", mode="before")(_spelled)
    _numbers = field_validator("seeds", mode="before")(_as_list)

    def check(self) -> Protocol:
        """The protocol itself; `ConfigError` naming the entry that cannot be used."""
        for section in ("data", "methods", "seeds", "noise", "imbalance"):
            if not getattr(self, section):
                raise ConfigError(f"{section}: expected at least one entry, found none")
        for section in ("data", "methods"):
            for name in getattr(self, section):
                if not _NAME.fullmatch(name):
                    raise ConfigError(
                        f"{section}: the name {name!r} becomes part of a folder's: use letters, digits, "
                        "and _ . + - after the first"
                    )
        for name in self.base:
            if name not in ("data", "model", "training"):
                raise ConfigError(
                    f"base: unknown section {name!r}: expected data, model or training"
                )
        for name in self.data:
            self.data_entry(name)
        for name in self.methods:
            self.method_entry(name)
        if self.reference is not None:
            self._require("methods", self.reference, "reference")
        self.blocks()
        return self

    def data_entry(self, name: str) -> DataEntry:
        """The entry called `name`; options of `DataConfig` may stand beside those of the entry itself."""
        written = dict(self.data[name])
        own = {k: written.pop(k) for k in list(written) if k in DataEntry.model_fields}
        flat = {**own.pop("data", {}), **written}
        return named(f"data.{name}", lambda: DataEntry(**own, data=flat))

    def method_entry(self, name: str) -> MethodEntry:
        """The entry called `name`."""
        return named(
            f"methods.{name}", lambda: MethodEntry(**{"method": name, **self.methods[name]})
        )

    def title(self, method: str) -> str:
        """What the tables call `method`."""
        return self.method_entry(method).title or method

    def blocks(self) -> list[Block]:
        """The parts of the grid, each complete."""
        whole: dict[str, Any] = {
            "data": list(self.data),
            "noise": self.noise,
            "imbalance": self.imbalance,
            "methods": list(self.methods),
            "seeds": self.seeds,
        }
        if self.cells is None:
            return [Block(**whole)]
        blocks = []
        for number, written in enumerate(self.cells, start=1):
            where = f"cells.{number}"
            given: Mapping[str, Any] = written
            block = named(where, lambda given=given: Block(**{**whole, **given}))  # type: ignore[misc]
            for section in ("data", "methods"):
                for name in getattr(block, section):
                    self._require(section, name, where)
            blocks.append(block)
        return blocks

    def _require(self, section: str, name: str, where: str) -> None:
        known = getattr(self, section)
        if name not in known:
            raise ConfigError(
                f"{where}: {section} has no entry {name!r}: it has {', '.join(known)}."
                f"{nearest(name, known)}"
            )


def named(where: str, build: Callable[[], _T]) -> _T:
    """What `build` gives; its `ConfigError` begins with the place in the protocol."""
    try:
        return build()
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
