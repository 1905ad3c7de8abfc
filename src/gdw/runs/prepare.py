"""From configured paths to encoded training, clean and test examples, with everything checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gdw.data.clean import train_and_clean
from gdw.data.encode import Encoder, fit_encoder
from gdw.data.examples import Examples, Inputs
from gdw.data.examples import JoinedInputs as Joined
from gdw.data.images import check_images
from gdw.data.imbalance import parse_imbalance
from gdw.data.loading import load
from gdw.data.noise import parse_noise
from gdw.data.source import Source
from gdw.errors import ConfigError, DataError
from gdw.runs.config import DataConfig
from gdw.runs.fingerprint import fingerprint
from gdw.runs.labels import held_out_label
from gdw.runs.schema import Schema


@dataclass(frozen=True)
class Prepared:
    """Examples ready for the trainer, and what is needed to encode others the same way.

    Attributes:
        train, meta, test: examples; `meta` the clean ones, `test` None when no file was named. With
            `add_clean` those of `meta` are also the last of `train`.
        source: the doubtful rows behind `train` (its first examples), with the labels trained on.
        clean: the rows behind `meta`.
        schema: the form of the data, to read other files alike.
        encoder: fitted on the training rows.
        spoiled: the share of the labels of `source` that `noise` changed, 0 without.
        fingerprint: sums of the rows and labels, see `gdw.runs.fingerprint`.
    """

    train: Examples
    meta: Examples | None
    test: Examples | None
    source: Source
    clean: Source | None
    schema: Schema
    encoder: Encoder
    spoiled: float
    fingerprint: dict[str, str]


def prepare(config: DataConfig, *, seed: int, needs_clean: bool = True) -> Prepared:
    """Read, split, spoil (if asked) and encode the data.

    Without `needs_clean` clean data may be left out. Raises `DataError` and `ConfigError` for whatever
    cannot be trained on, naming file, row and column.
    """
    noise = None if config.noise is None else parse_noise(config.noise)
    imbalance = None if config.imbalance is None else parse_imbalance(config.imbalance)
    train, clean, test, schema = _read(config, seed=seed, needs_clean=needs_clean)
    if imbalance is not None:
        train = train.select(imbalance.apply(_labels(train), len(train.label_names), seed))
    encoder = fit_encoder(train, image_size=config.image_size, max_features=config.max_words)
    inputs = encoder.encode(train)
    given = true = _labels(train)
    if noise is not None:
        features = _features(inputs) if noise.needs_features else None
        given = noise.apply(true, len(train.label_names), seed, features=features)
    doubtful = Examples(inputs, torch.from_numpy(given.copy()))
    meta = None if clean is None else _examples(encoder, clean)
    source = train.with_labels(given)
    return Prepared(
        train=_joined(doubtful, meta) if config.add_clean and meta is not None else doubtful,
        meta=meta,
        test=None if test is None else _examples(encoder, test),
        source=source,
        clean=clean,
        schema=schema,
        encoder=encoder,
        spoiled=float(np.mean(given != true)),
        fingerprint=fingerprint(source, clean),
    )


def _read(
    config: DataConfig, *, seed: int, needs_clean: bool
) -> tuple[Source, Source | None, Source | None, Schema]:
    """Doubtful, clean and test rows, every image among them readable, and their form."""
    _check_places(config)
    source = _load(config, seed)
    if len(source.label_names) < 2:
        raise DataError(
            f"{config.path} has a single class, {source.label_names[0]!r}: expected at least two"
        )
    schema = Schema.of(source.without_features(*_not_features(config)))
    test = None
    if config.test is not None:
        label = held_out_label(config, config.test, option="--test-label")
        test = schema.load(config.test, label=label)
    try:
        train, clean = _split(config, source, schema, seed=seed, needs_clean=needs_clean)
    except (ConfigError, DataError) as error:
        drawn, all_ = len(np.unique(_labels(source))), len(source.label_names)
        if config.limit is None or drawn == all_:
            raise
        raise type(error)(
            f"{error} (--limit {config.limit} drew {drawn} of {all_} classes)"
        ) from None
    for part in (train, clean, test):
        if part is not None and part.kind == "image":
            check_images(part)
    return train, clean, test, schema


def _check_places(config: DataConfig) -> None:
    """Refuse test data that are training data: what they measure is memory."""
    if config.test is None:
        return
    for what, path in (("training data", config.path), ("clean examples", config.meta)):
        if path is not None and Path(path).resolve() == Path(config.test).resolve():
            raise ConfigError(
                f"the test data {config.test} are the {what}: expected examples that nothing is learned "
                "from; name another file or folder (--test, test=), or leave it out"
            )


def _load(config: DataConfig, seed: int) -> Source:
    return load(
        config.path,
        label=config.label,
        image=config.image,
        text=config.text,
        features=config.features,
        drop=_not_features(config),
        limit=config.limit,
        seed=seed,
    )


def _not_features(config: DataConfig) -> list[str]:
    others = (config.trusted, config.meta_label, config.test_label)
    return [*config.drop, *(name for name in others if name is not None and name != config.label)]


def _split(
    config: DataConfig, source: Source, schema: Schema, *, seed: int, needs_clean: bool
) -> tuple[Source, Source | None]:
    ways = (config.meta, config.trusted, config.meta_size)
    if not needs_clean and all(way is None for way in ways):
        if config.add_clean:
            raise ConfigError(
                "add_clean trains on the clean examples too, found none: name them by --meta, --trusted or "
                "--meta-size, or leave --add-clean out"
            )
        return source, None
    meta = None
    if config.meta is not None:
        meta = schema.load(config.meta, label=config.meta_label or config.label)
    return train_and_clean(
        source,
        meta=meta,
        trusted=config.trusted,
        meta_size=config.meta_size,
        meta_label=None if meta is not None else config.meta_label,
        seed=seed,
    )


def _joined(first: Examples, second: Examples) -> Examples:
    return Examples(Joined(first.inputs, second.inputs), torch.cat([first.targets, second.targets]))


def _examples(encoder: Encoder, source: Source) -> Examples:
    return Examples(encoder.encode(source), torch.from_numpy(_labels(source).copy()))


def _labels(source: Source) -> NDArray[np.int64]:
    assert source.labels is not None, "loaded with a label column"
    return source.labels


def _features(inputs: Inputs) -> NDArray[np.float64]:
    """All inputs as one matrix `(N, F)`, for noise that depends on them."""
    everything = inputs[np.arange(len(inputs))]
    return everything.reshape(len(inputs), -1).double().numpy()
