"""Reading and checking the data of a run, before they are encoded. Needs no PyTorch: errors come at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gdw.data.clean import train_and_clean
from gdw.data.image_checks import SKIP, check_images, without_broken
from gdw.data.imbalance import Imbalance, parse_imbalance
from gdw.data.loading import load
from gdw.data.noise import Noise, parse_noise
from gdw.data.rows import open_rows, require_existing
from gdw.data.source import Source
from gdw.errors import ConfigError, DataError, RunError, composed, listed
from gdw.runs.config import DataConfig, RunConfig
from gdw.runs.schema import Schema


class Sources(NamedTuple):
    """The rows of a run as they were read, with every image checked, and their form."""

    train: Source
    clean: Source | None
    test: Source | None
    schema: Schema


def spoilers(config: DataConfig) -> tuple[Noise | None, Imbalance | None]:
    """The noise and the imbalance that the options name; `ConfigError` for unknown ones."""
    noise = None if config.noise is None else parse_noise(config.noise)
    return noise, None if config.imbalance is None else parse_imbalance(config.imbalance)


def read(config: DataConfig, *, seed: int) -> Sources:
    """The rows that `prepare` encodes. Does not import PyTorch, which takes seconds: errors come at once.

    Raises:
        DataError, ConfigError: as `prepare`.
    """
    spoilers(config)
    _check_places(config)
    source = _load(config, seed)
    source = without_broken(source) if config.skip_broken else source
    if len(source.label_names) < 2:
        raise DataError(
            f"{config.path} has a single class, {source.label_names[0]!r}: expected at least two"
        )
    dropped = source.rows.resolve_names(config.drop, source.origin)
    aside = [name for name in map(composed, _set_aside(config)) if name in source.columns]
    unused = dict.fromkeys(dropped, "left out by --drop") | dict.fromkeys(
        aside, "has another purpose"
    )
    source = replace(source, unused={**source.unused, **unused})
    schema = Schema.of(source.without_features(*dropped, *_set_aside(config)), config.label)
    test = None
    if config.test is not None:
        label = held_out_label(config, config.test, option="--test-label")
        test = schema.load(config.test, label=label, options=config.read_options)
        test = without_broken(test) if config.skip_broken else test
    try:
        train, clean = _split(config, source, schema, seed=seed)
    except (ConfigError, DataError) as error:
        undrawn = _undrawn(config, source)
        if not undrawn:
            raise
        raise type(error)(f"{error} {undrawn}") from None
    if source.kind == "image" and not config.skip_broken:
        for part in filter(None, (train, clean, test)):
            check_images(part, remedy=SKIP)
    return Sources(train, clean, test, schema)


def _check_places(config: DataConfig) -> None:
    """Refuse a path where nothing is, and test data that are also training data or clean examples."""
    for place in filter(None, (config.path, config.meta, config.test)):
        require_existing(Path(place))
    if config.test is None:
        return
    for part, path in (("training data", config.path), ("clean examples", config.meta)):
        if path is not None and Path(path).resolve() == Path(config.test).resolve():
            raise ConfigError(
                f"the test data {config.test} are the {part}: expected examples that are not used in "
                "training; name another file or folder (--test, test=), or leave it out"
            )


def _load(config: DataConfig, seed: int) -> Source:
    return load(
        config.path,
        label=config.label,
        image=config.image,
        text=config.text,
        features=config.features,
        drop=config.drop,
        set_aside=_set_aside(config),
        label_as_classes=config.label_as_classes,
        merge_labels=config.merge_labels,
        limit=config.limit,
        seed=seed,
        options=config.read_options,
    )


def _undrawn(config: DataConfig, source: Source) -> str:
    """For an error message: that the limit drew no example of some classes; empty if it drew all."""
    drawn, classes = len(np.unique(source.known_labels)), len(source.label_names)
    if config.limit is None or drawn == classes:
        return ""
    return f"(--limit {config.limit} drew {drawn} of {classes} classes)"


def _set_aside(config: DataConfig) -> list[str]:
    """The columns with another purpose than to be learned from."""
    others = (config.trusted, config.meta_label, config.test_label)
    return [name for name in others if name is not None and name != config.label]


def _split(
    config: DataConfig, source: Source, schema: Schema, *, seed: int
) -> tuple[Source, Source | None]:
    ways = (config.meta, config.trusted, config.meta_size)
    if all(way is None for way in ways):
        if config.add_clean:
            raise ConfigError(
                "add_clean trains on the clean examples too, but there are none: name them with --meta, "
                "--trusted or --meta-size, or leave --add-clean out"
            )
        return source, None
    meta = None
    if config.meta is not None:
        label = config.meta_label or config.label
        meta = schema.load(config.meta, label=label, options=config.read_options)
        meta = without_broken(meta) if config.skip_broken else meta
    return train_and_clean(
        source,
        meta=meta,
        trusted=config.trusted,
        meta_size=config.meta_size,
        meta_label=None if meta is not None else config.meta_label,
        seed=seed,
    )


def held_out_label(config: DataConfig, path: str, *, option: str) -> str:
    """The label column of a file that the model is measured on.

    It is the first of these columns that the file has: that of the test data, of the training data, or of
    the clean examples.

    Args:
        config: the options of the data.
        path: the file.
        option: the option that names the column, for the error message.

    Raises:
        DataError: the file has none of these columns.
    """
    rows = open_rows(path, config.read_options)
    usual = config.test_label or config.label
    for name in (usual, config.meta_label):
        if name is not None and rows.resolve_label(name) in rows.columns:
            return name
    raise DataError(
        f"{path} has no label column {usual!r}: name its label column with {option}. "
        f"Its columns: {listed(rows.columns)}"
    )


def require_places(config: RunConfig, where: Path) -> None:
    """Check that relative paths in the configuration file `where` exist in the current folder."""
    for options in (config.data, config.model):
        for name in sorted(options.paths):
            place = getattr(options, name)
            if place is not None and not Path(place).is_absolute() and not Path(place).exists():
                raise RunError(
                    f"{place!r} does not exist in {Path.cwd()}: {where} names it ({name}) relative to the "
                    "folder where the run was started; resume it from that folder"
                )
