"""What `gdw train` is told, and what `config.yaml` keeps: data, model, training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import Field, field_validator, model_validator

from gdw._version import __version__
from gdw.data.rows import suffixes_in_words
from gdw.data.text_files import Quoting, ReadOptions
from gdw.errors import ConfigError, brief
from gdw.files.representation import ShortRepr
from gdw.options import Form, Group, Options
from gdw.runs.model_config import ModelConfig
from gdw.train.config import TrainConfig
from gdw.train.recommended import CHOSEN

FORMAT = 2
"""The format of a run folder. In format 1, of gdw 0.1.0, the method `robust` was a preset of `gdw`."""

_Count: TypeAlias = Annotated[int, Field(ge=1)]

_CHOSEN_OF_MODEL = ("name", "backbone")

_VERIFIED = Group("Verified examples")
_EXPERIMENTS = Group("Experiments")

_COLUMN = Form("COLUMN")
_COLUMNS = Form("COLUMN,...")
_PATH = Form("PATH")


def _optional(description: str) -> Any:
    """A field that need not be given, and is None then."""
    return Field(default=None, description=description)


class DataConfig(Options):
    """Where the examples are, which of them are verified, and how to change them for an experiment."""

    what: ClassVar[str] = "data "
    group: ClassVar[Group] = Group("Your data")
    paths: ClassVar[frozenset[str]] = frozenset({"path", "meta", "test"})

    path: str = Field(
        description="The data to train on: a folder that has one folder of images for each class, or a "
        f"{suffixes_in_words()} file. Required, unless --resume or the file of --config names them.",
    )
    label: Annotated[str, _COLUMN] = Field(
        default="label", description="The column with the labels, some of which may be wrong."
    )
    label_as_classes: bool = Field(
        default=False,
        description="Take each value of the label column as a class, even if the values look like measured "
        "numbers or hardly repeat.",
    )
    merge_labels: bool = Field(
        default=False,
        description="Make one class of labels that differ only in case, white space or invisible characters.",
    )
    test: Annotated[str | None, _PATH] = _optional(
        "A file or folder with true labels. The accuracy on it is measured after each epoch. If not given, "
        "no accuracy is measured."
    )
    test_label: Annotated[str | None, _COLUMN] = _optional(
        "The label column of the test data. If not given, that of --label, or of --meta-label."
    )
    image: Annotated[str | None, _COLUMN] = _optional(
        "The column with the images: paths of image files, or their bytes. If not given, it is found by "
        "what it holds."
    )
    text: Annotated[str | None, _COLUMN] = _optional(
        "The column with the texts. If not given, it is found by what it holds."
    )
    features: Annotated[list[str] | None, _COLUMNS] = _optional(
        "The columns to learn from, separated by commas; the option can be repeated. all: keys too. If "
        "not given, all but keys and what cannot be learned from."
    )
    drop: Annotated[list[str], _COLUMNS] = Field(
        default_factory=list,
        description="Columns not to learn from, separated by commas; it can be repeated. If not given, none.",
    )
    limit: _Count | None = _optional(
        "Use only this many rows of the data, drawn at random. If not given, all rows."
    )
    delimiter: Annotated[str | None, Form("CHARACTER")] = _optional(
        "The character between two cells of text files, such as ';', or the word tab. If not given, what the "
        "first lines have. This and the next three options hold for all files of the run."
    )
    header: bool = Field(
        default=True,
        description="Line 1 of .csv and .tsv files names the columns, or they are c0, c1, ...",
    )
    quoting: Quoting | None = _optional(
        "The quotes in text files. double: a cell in double quotes may contain delimiters and line breaks. "
        "none: quotes are ordinary characters. If not given, double, but a quoted cell that contains whole "
        "rows is refused."
    )
    encoding: Annotated[str | None, Form("NAME")] = _optional(
        "The encoding of text files, such as windows-1252 or utf-16. If not given, UTF-8."
    )
    image_size: Annotated[_Count | None, Form("PIXELS")] = _optional(
        "Resize images to squares with sides of this many pixels. If not given, 32 or 224, whichever suits "
        "the images."
    )
    skip_broken: bool = Field(
        default=False,
        description="Leave out images that cannot be read, in all data of the run, instead of refusing the "
        "data. skipped_images.csv in the run folder lists them.",
    )
    max_words: _Count = Field(
        default=20_000,
        description="For texts: the largest number of different words to use as inputs.",
    )
    meta: Annotated[str | None, _VERIFIED, _PATH] = _optional(
        "Examples whose labels you have verified: a file or folder in the same form as the data, or the file "
        "that gdw verify has filled. If not given, see --trusted and --meta-size; without any of them, rows "
        "of the data whose labels look right stand in."
    )
    meta_label: Annotated[str | None, _VERIFIED, _COLUMN] = _optional(
        "The column with the verified labels. If not given, that of --label."
    )
    trusted: Annotated[str | None, _VERIFIED, _COLUMN] = _optional(
        "The column of the data that is true in the rows whose labels you have verified, or the file of gdw "
        "verify. If not given, see --meta."
    )
    meta_size: Annotated[_Count | None, _VERIFIED] = _optional(
        "Draw this many rows of the data as the clean set, equally many of each class. For data whose true "
        "labels are known, in the column --meta-label or before --noise. Otherwise nobody has verified "
        "these rows, and the audit does not rely on them. If not given, none are drawn."
    )
    add_clean: Annotated[bool, _VERIFIED] = Field(
        default=False,
        description="Train on the verified examples too, so that methods that do not use them "
        "otherwise see the same data.",
    )
    noise: Annotated[str | None, _EXPERIMENTS, Form("KIND:RATE")] = _optional(
        "Replace this share of the labels (0 to 1) by wrong ones, with the kind uniform, flip, pair or "
        "instance, such as uniform:0.4; or by the matrix in a .csv file: matrix:FILE. If not given, the "
        "labels stay."
    )
    imbalance: Annotated[str | None, _EXPERIMENTS, Form("FACTOR")] = _optional(
        "Remove examples so that the largest class has this many times as many as the smallest one: 50 for "
        "a long tail, step:50 for two levels. If not given, all examples stay."
    )

    @field_validator("noise", "imbalance", mode="before")
    @classmethod
    def _text_of_number(cls, value: object) -> object:
        # YAML reads `imbalance: 50` as a number.
        return str(value) if isinstance(value, (int, float)) else value

    @model_validator(mode="after")
    def _read_options_are_known(self) -> DataConfig:
        _ = self.read_options
        return self

    @property
    def verified(self) -> bool:
        """Whether somebody vouches for the labels of the clean set: rows drawn from the data may be wrong.

        Labels that `noise` is about to spoil are taken for true, because the spoiled ones are compared with
        them.
        """
        if self.meta is not None or self.trusted is not None:
            return True
        return self.meta_size is not None and (
            self.meta_label is not None or self.noise is not None
        )

    @property
    def read_options(self) -> ReadOptions:
        """How the text files of the run are read."""
        return ReadOptions(self.delimiter, self.quoting, self.encoding, self.header)


class RunConfig(ShortRepr):
    """A whole run: everything needed to repeat it.

    Attributes:
        data, model, training: the three records.
    """

    def __init__(self, data: DataConfig, model: ModelConfig, training: TrainConfig) -> None:
        self.data, self.model, self.training = data, model, training

    @classmethod
    def parse(cls, sections: Mapping[str, Any]) -> RunConfig:
        """Make the records from sections of options.

        Args:
            sections: the sections `data`, `model` and `training` of a YAML file.

        Raises:
            ConfigError: an unknown section or option, or a value that does not fit.
        """
        known = {"data", "model", "training"}
        for name, section in sections.items():
            if name not in known:
                raise ConfigError(
                    f"unknown section {name!r}: a configuration has data, model and training"
                )
            if not isinstance(section, Mapping):
                raise ConfigError(f"section {name!r} must hold options, found {brief(section)}")
        data, model = dict(sections.get("data", {})), dict(sections.get("model", {}))
        training = dict(sections.get("training", {}))
        return cls(DataConfig(**data), ModelConfig(**model), TrainConfig(**training))

    def plain(self) -> dict[str, Any]:
        """Return what `config.yaml` holds."""
        records = {"data": self.data, "model": self.model, "training": self.training}
        plain = {name: record.plain() for name, record in records.items()}
        return {"format": FORMAT, "gdw_version": __version__, **plain}

    def replaced(self, sections: Mapping[str, Mapping[str, Any]]) -> RunConfig:
        """Return a copy of this configuration with other options.

        Args:
            sections: the options to change, in the sections `data`, `model` and `training`.

        Raises:
            ConfigError: an unknown section or option, or a value that does not fit.
        """
        records = {"data": self.data, "model": self.model, "training": self.training}
        for name, section in sections.items():
            if name in records and not isinstance(section, Mapping):
                raise ConfigError(f"section {name!r} must hold options, found {brief(section)}")
        merged = {
            name: {**record.model_dump(), **sections.get(name, {})}
            for name, record in records.items()
        }
        return self.parse({**sections, **merged})

    def with_options(
        self, *, model: Mapping[str, Any] | None = None, training: Mapping[str, Any] | None = None
    ) -> RunConfig:
        """A copy with other options of the network and of training. The options that were given are kept.

        Unlike after `replaced`, `model_fields_set` of the records still tells which options were passed.
        """
        network = {**_given(self.model), **(model or {})}
        options = {**_given(self.training), **(training or {})}
        return RunConfig(self.data, ModelConfig(**network), TrainConfig(**options))

    @property
    def leaves_choices(self) -> bool:
        """Whether an option that can be chosen for the data was not passed."""
        autos = (getattr(self.model, name) == "auto" for name in _CHOSEN_OF_MODEL)
        return any(autos) or not self.training.model_fields_set.issuperset(CHOSEN)

    def continuing(self, earlier: RunConfig) -> RunConfig:
        """A copy that takes from the run that it continues what was chosen for the data.

        Args:
            earlier: the configuration of that run.
        """
        return self.with_options(
            model={
                name: getattr(earlier.model, name)
                for name in _CHOSEN_OF_MODEL
                if getattr(self.model, name) == "auto"
            },
            training={
                name: getattr(earlier.training, name)
                for name in CHOSEN
                if name not in self.training.model_fields_set
            },
        )

    def conflicts(self, earlier: RunConfig) -> list[str]:
        """Compare with the configuration of the earlier run that this one is to continue.

        Returns:
            One text for each option that would make it another run, such as `"seed (was 0, now 5)"`. Two
            spellings of the same path are not a conflict.
        """
        conflicts = [
            f"{name} (was {was!r}, now {now!r})"
            for mine, theirs in ((self.data, earlier.data), (self.model, earlier.model))
            for (name, now), was in zip(mine.plain().items(), theirs.plain().values(), strict=True)
            if now != was and not (name in mine.paths and _same_place(was, now))
        ]
        return conflicts + self.training.conflicts(earlier.training.plain())


def _same_place(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and Path(one).resolve() == Path(other).resolve()


def _given(options: Options) -> dict[str, Any]:
    """The options that were passed."""
    return {name: getattr(options, name) for name in options.model_fields_set}
