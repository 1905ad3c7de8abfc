"""From the paths of a configuration to encoded training, clean and test examples.

`read` reads and checks the data. It needs no PyTorch, which takes seconds to import: errors come at once.
`prepare` encodes what it returns.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gdw.data.clean import train_and_clean
from gdw.data.image_checks import SKIP, check_images, without_broken
from gdw.data.imbalance import Imbalance, parse_imbalance
from gdw.data.loading import load
from gdw.data.noise import Noise, parse_noise
from gdw.data.rows import open_rows, require_existing
from gdw.data.source import Source
from gdw.errors import ConfigError, DataError, composed, listed
from gdw.runs.config import DataConfig
from gdw.runs.prepared_data import PreparedData, Sources, fingerprint
from gdw.runs.schema import Schema
from gdw.runs.skipped_images import SKIPPED

if TYPE_CHECKING:
    from gdw.backbones.backbone import Backbone
    from gdw.data.encode import Encoder
    from gdw.data.examples import Examples, Inputs
    from gdw.data.verification import VerifiedRows
    from gdw.runs.model_config import ModelConfig


def spoilers(config: DataConfig) -> tuple[Noise | None, Imbalance | None]:
    """The noise and the imbalance that the options name; `ConfigError` for unknown ones."""
    noise = None if config.noise is None else parse_noise(config.noise)
    return noise, None if config.imbalance is None else parse_imbalance(config.imbalance)


def read(config: DataConfig, *, seed: int) -> Sources:
    """The rows that `prepare` encodes. Does not import PyTorch.

    Raises:
        DataError, ConfigError: as `prepare`.
    """
    spoilers(config)
    _check_places(config)
    source = _readable(config, _load(config, seed))
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
        test = _load_like(schema, config, config.test, label)
    try:
        train, clean, verified = _split(config, source, schema, seed=seed)
    except (ConfigError, DataError) as error:
        undrawn = _undrawn(config, source)
        if not undrawn:
            raise
        raise type(error)(f"{error} {undrawn}") from None
    if source.kind == "image" and not config.skip_broken:
        for part in filter(None, (train, clean, test)):
            check_images(part, remedy=SKIP)
    return Sources(train, clean, test, schema, verified)


def prepare(
    config: DataConfig,
    *,
    seed: int,
    sources: Sources | None = None,
    model: ModelConfig | None = None,
    progress: str = "auto",
) -> PreparedData:
    """Read, split and encode the data, and add noise or imbalance if the configuration says so.

    Args:
        config: the options of the data.
        seed: of the random choices: clean examples, limits, noise and imbalance.
        sources: what `read` returned for them; default: read here.
        model: names the backbone; default: there is none.
        progress: what is shown while its features are computed, as `TrainConfig.progress`.

    Raises:
        DataError: the data cannot be trained on. The message names file, row and column.
        ConfigError: the options contradict each other.
    """
    import torch

    from gdw.data.examples import Examples

    noise, imbalance = spoilers(config)
    train, clean, test, schema, verified = sources or read(config, seed=seed)
    if imbalance is not None:
        train = train.select(imbalance.apply(train.known_labels, len(train.label_names), seed))
    encoder, backbone = _fitted(config, train, model, seed=seed, progress=progress)
    inputs = encoder.encode(train)
    schema = replace(
        schema,
        categories=getattr(encoder, "categories", {}),
        size=tuple(encoder.input_shape),
        backbone=model.backbone if model is not None and model.uses_backbone else "",
    )
    given = true = train.known_labels
    if noise is not None:
        features = _features(inputs) if noise.needs_features else None
        given = noise.apply(true, len(train.label_names), seed, features=features)
    doubtful = Examples(inputs, torch.from_numpy(given.copy()))
    meta = None if clean is None else _examples(encoder, clean)
    notes = (*_notes(encoder, train, clean, test), *getattr(encoder, "notes", ()))
    source = replace(train.with_labels(given), notes=notes)
    return PreparedData(
        train=doubtful.joined(meta) if config.add_clean and meta is not None else doubtful,
        meta=meta,
        test=None if test is None else _examples(encoder, test),
        source=source,
        clean=clean,
        schema=schema,
        encoder=encoder,
        spoiled=float(np.mean(given != true)),
        fingerprint=fingerprint(source, clean),
        parts=tuple(filter(None, (source, clean, test))),
        backbone=backbone,
        verified=verified,
    )


def _fitted(
    config: DataConfig, train: Source, model: ModelConfig | None, *, seed: int, progress: str
) -> tuple[Encoder, Backbone | None]:
    """The encoder of the training data, and the backbone if there is one."""
    from gdw.data.encode.encoder import fit_encoder

    if model is None or not model.uses_backbone:
        size, words = config.image_size, config.max_words
        return fit_encoder(train, image_size=size, max_features=words), None
    from gdw.runs.backbone_inputs import fit_to_backbone

    size = config.image_size
    return fit_to_backbone(train, model, image_size=size, seed=seed, progress=progress)


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


def _load_like(schema: Schema, config: DataConfig, path: str, label: str) -> Source:
    """The rows of another file of the form of the training data, with the labels of the column `label`."""
    return _readable(config, schema.load(path, label=label, options=config.read_options))


def _readable(config: DataConfig, source: Source) -> Source:
    """Without the images that cannot be read, if the options say so."""
    return without_broken(source) if config.skip_broken else source


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
) -> tuple[Source, Source | None, VerifiedRows | None]:
    """The training examples, the clean ones, and the verification file that these are from."""
    ways = (config.meta, config.trusted, config.meta_size)
    if all(way is None for way in ways):
        if config.add_clean:
            raise ConfigError(
                "add_clean trains on the clean examples too, but there are none: name them with --meta, "
                "--trusted or --meta-size, or leave --add-clean out"
            )
        return source, None, None
    verified = meta = None
    if config.meta is not None and config.meta.endswith(".jsonl"):
        from gdw.data.verification import verified_in

        verified = verified_in(source, config.meta, column=config.meta_label)
    if verified is not None:
        meta = _readable(config, verified.clean)
    elif config.meta is not None:
        meta = _load_like(schema, config, config.meta, config.meta_label or config.label)
    train, clean = train_and_clean(
        source,
        meta=meta,
        trusted=config.trusted,
        meta_size=config.meta_size,
        meta_label=None if meta is not None else config.meta_label,
        meta_rows=None if verified is None else verified.numbers,
        seed=seed,
    )
    return train, clean, verified


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


def _notes(
    encoder: Encoder, train: Source, clean: Source | None, test: Source | None
) -> tuple[str, ...]:
    """The notes on the training data, and those on other files with the name of the file."""
    from gdw.data.encode.encoder import unknown_notes

    others = [part for part in (clean, test) if part is not None and part.origin != train.origin]
    of_others = (
        f"{part.origin}: {note}"
        for part in others
        for note in (*part.notes, *unknown_notes(encoder, part))
    )
    skipped = any(part.skipped for part in (train, *others))
    lists = (f"the run folder has the list of all images left out: {SKIPPED}",) if skipped else ()
    return (*train.notes, *of_others, *lists)


def _examples(encoder: Encoder, source: Source) -> Examples:
    import torch

    from gdw.data.examples import Examples

    return Examples(encoder.encode(source), torch.from_numpy(source.known_labels.copy()))


def _features(inputs: Inputs) -> NDArray[np.float64]:
    """All inputs as one matrix `(N, F)`, for noise that depends on them."""
    encoded = inputs[np.arange(len(inputs))]
    return encoded.reshape(len(inputs), -1).double().numpy()
