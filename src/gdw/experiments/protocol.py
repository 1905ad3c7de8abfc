"""Protocol files: one base run, and the data, noise, imbalance, methods and seeds to vary."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field, field_validator

from gdw.errors import ConfigError, nearest
from gdw.options import Options

PLACEHOLDER = "${data}"
SECTIONS = ("data", "model", "training")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")

Seed: TypeAlias = Annotated[int, Field(ge=0)]


def _texts(values: object) -> object:
    """A list of texts and nulls: a single value becomes a list of one, and YAML's `50` the text `50`."""
    return [
        str(v) if isinstance(v, (int, float)) and not isinstance(v, bool) else v
        for v in _as_list(values)
    ]


def _as_list(values: object) -> list[Any]:
    return values if isinstance(values, list) else [values]


class MethodEntry(Options):
    """One method to compare: its registry name, its options, and data and training options of its own.

    `title` is its name in tables and pictures. `formerly` is the name of this entry in an earlier version of
    the protocol: runs that finished under that name count as runs of this entry. `data` is for `add_clean`,
    which gives the clean examples to a method that does not use them otherwise. With `answers` a person
    verifies rows, see `gdw.experiments.answers`: `strategy` chooses them, and the share `wrong` is wrong.
    """

    what: ClassVar[str] = "method "

    method: str
    title: str | None = None
    formerly: str | None = None
    method_options: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    answers: dict[str, Any] | None = None


class DataEntry(Options):
    """One data set: the options of `gdw.runs.DataConfig` in which it differs from the base.

    `truth` names the column with the true labels where that is not the label column before noise was added;
    an empty value means that the true label is unknown. Entries with the same `series` differ in the size of
    the clean set; a picture shows the results against it. `prepare` names how to make the files before the
    first run, see `gdw.experiments.dataset_builders`. `answers` is the number of rows that a person verifies
    for the methods that have `answers`.
    """

    what: ClassVar[str] = "data "

    title: str | None = None
    truth: str | None = None
    series: str | None = None
    prepare: dict[str, Any] | None = None
    answers: int | None = None
    data: dict[str, Any] = Field(default_factory=dict)
    model: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)


class Block(Options):
    """A part of the grid: every combination of these values."""

    what: ClassVar[str] = "cells "

    data: list[str] = Field(default_factory=list)
    noise: list[str | None] = Field(default_factory=list)
    imbalance: list[str | None] = Field(default_factory=list)
    methods: list[str] = Field(default_factory=list)
    seeds: list[Seed] = Field(default_factory=list)

    _to_texts = field_validator("data", "noise", "imbalance", "methods", mode="before")(_texts)
    _to_list = field_validator("seeds", mode="before")(_as_list)


class Protocol(Options):
    """A grid of runs.

    `base` is the configuration that all runs share (`data`, `model`, `training`). `cells`, if it is there,
    lists the parts of the grid to run; without it every combination runs. `about`, `needs` and `hours` are
    for the reader. `reference` is the method that the tables compare all others with. `measure` is the
    metric of ranks and differences: use the balanced accuracy where the test data are unbalanced and the
    clean examples are not. `rows: validation` measures on rows of the training files in place of the test
    files, to develop a method; every data set must then be made by `prepare`. With `records_weights` the
    weights of right and wrong labels are recorded over the training, and shown in pictures. With
    `seconds_per_answer` the picture of a `series` is over the minutes that a person needs to verify. With
    `certificates`, rows to verify are drawn so many times for each contender, see
    `gdw.experiments.certificates`.
    """

    what: ClassVar[str] = "protocol "

    name: str
    about: str = ""
    needs: str = ""
    hours: str = ""
    reference: str | None = None
    measure: Literal["accuracy", "balanced_accuracy"] = "accuracy"
    rows: Literal["test", "validation"] = "test"
    records_weights: bool = False
    seconds_per_answer: Annotated[float, Field(gt=0)] | None = None
    certificates: Annotated[int, Field(ge=1)] | None = None
    base: dict[str, dict[str, Any]] = Field(default_factory=dict)
    data: dict[str, dict[str, Any]]
    noise: list[str | None] = Field(default=[None])
    imbalance: list[str | None] = Field(default=[None])
    methods: dict[str, dict[str, Any]]
    seeds: list[Seed]
    cells: list[dict[str, Any]] | None = None

    _to_texts = field_validator("noise", "imbalance", mode="before")(_texts)
    _to_list = field_validator("seeds", mode="before")(_as_list)

    def check(self) -> Protocol:
        """Return the protocol itself.

        Raises:
            ConfigError: an entry cannot be used; the message names it.
        """
        self._check_names()
        unknown = next((name for name in self.base if name not in SECTIONS), None)
        if unknown is not None:
            raise ConfigError(
                f"base: unknown section {unknown!r}: expected data, model or training"
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
        """The data set called `name`; options of `DataConfig` may stand next to those of the entry."""
        options = dict(self.data[name])
        fields = {k: options.pop(k) for k in list(options) if k in DataEntry.model_fields}
        with error_prefix(f"data.{name}"):
            entry = DataEntry(**fields)
            return entry.model_copy(update={"data": {**entry.data, **options}})

    def method_entry(self, name: str) -> MethodEntry:
        """The method called `name`."""
        with error_prefix(f"methods.{name}"):
            return MethodEntry(**{"method": name, **self.methods[name]})

    def title(self, method: str) -> str:
        """The name of the entry `method` in tables and pictures."""
        return self.method_entry(method).title or method

    def blocks(self) -> list[Block]:
        """The parts of the grid; what a part leaves out is filled in from the protocol."""
        whole: dict[str, Any] = {
            "data": list(self.data),
            "noise": self.noise,
            "imbalance": self.imbalance,
            "methods": list(self.methods),
            "seeds": self.seeds,
        }
        if self.cells is None:
            return [Block(**whole)]
        return [
            self._block({**whole, **part}, f"cells.{number}")
            for number, part in enumerate(self.cells, start=1)
        ]

    def _block(self, content: Mapping[str, Any], where: str) -> Block:
        with error_prefix(where):
            block = Block(**content)
        for section in ("data", "methods"):
            for name in getattr(block, section):
                self._require(section, name, where)
        return block

    def _check_names(self) -> None:
        for section in ("data", "methods", "seeds", "noise", "imbalance"):
            if not getattr(self, section):
                raise ConfigError(f"{section}: expected at least one entry, found none")
        for section in ("data", "methods"):
            unusable = [name for name in getattr(self, section) if not _NAME.fullmatch(name)]
            if unusable:
                raise ConfigError(
                    f"{section}: the name {unusable[0]!r} becomes part of a folder name: use letters, "
                    "digits, and _ . + - after the first character"
                )

    def _require(self, section: str, name: str, where: str) -> None:
        known = getattr(self, section)
        if name not in known:
            raise ConfigError(
                f"{where}: {section} has no entry {name!r}: it has {', '.join(known)}."
                f"{nearest(name, known)}"
            )


@dataclass(frozen=True)
class ProtocolPaths:
    """Where the paths in a protocol lead.

    Attributes:
        folder: relative paths start here; it is the folder of the protocol file.
        data_root: what `${data}` stands for; None if the user named no folder.
    """

    folder: Path
    data_root: Path | None = None

    def resolve(self, path: str) -> str:
        """The absolute path.

        Raises:
            ConfigError: `path` contains `${data}` and there is no `data_root`.
        """
        if PLACEHOLDER in path:
            if self.data_root is None:
                raise ConfigError(
                    f"{path!r} is below the folder of your data sets: name it with --data-root DIR"
                )
            path = path.replace(PLACEHOLDER, str(self.data_root))
        return str((self.folder / path).resolve())


@contextmanager
def error_prefix(where: str) -> Iterator[None]:
    """Inside, the message of a `ConfigError` begins with `where`, the place in the protocol."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
