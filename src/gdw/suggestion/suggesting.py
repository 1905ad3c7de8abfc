"""Suggest rows of the user's data, from nothing or from a run, and write the verification file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.source import Source
from gdw.data.verification import Queue, Verification, is_queue, read, write_queue
from gdw.data.verification.queue import FROM_A_PART, checksum_of_rows
from gdw.errors import ConfigError, DataError, counted, listed, shown
from gdw.files.representation import ShortRepr
from gdw.runs.config import DataConfig
from gdw.runs.model_config import ModelConfig
from gdw.suggestion.known import Known, verified_words
from gdw.suggestion.opinions import Opinions
from gdw.suggestion.strategies import Choice, Strategy, choose

if TYPE_CHECKING:
    from gdw.runs.schema import Schema


@dataclass(frozen=True, eq=False, repr=False)
class Looked(ShortRepr):
    """What a first look at the data gave.

    Attributes:
        source: the N examples.
        opinions: on them.
        features: float32 `(N, F)`, by which examples are alike; None if they were not computed.
        learning_from: the columns that were learned from, in one line.
    """

    source: Source
    opinions: Opinions
    features: NDArray[np.float32] | None
    learning_from: str


@dataclass(frozen=True, eq=False, repr=False)
class Suggestion(ShortRepr):
    """Rows of some data to verify.

    Attributes:
        looked: the data.
        known: what is verified already.
        choice: the rows.
        strategy, seed: how they were chosen; the strategy is one of `STRATEGIES`, or "certificate".
    """

    looked: Looked
    known: Known
    choice: Choice
    strategy: str
    seed: int

    @property
    def per_class(self) -> NDArray[np.int64]:
        """int64 `(C,)`, how many rows of each likely class are suggested."""
        strata = self.looked.opinions.strata[self.choice.positions]
        return np.bincount(strata, minlength=self.looked.opinions.num_classes)

    def write(
        self,
        path: str | os.PathLike[str],
        config: DataConfig,
        earlier: Verification | None = None,
    ) -> Queue:
        """Write the verification file; the rows of an `earlier` one stay in it. See `write_queue`."""
        from gdw.suggestion.neighbours import neighbours

        looked, chosen = self.looked, self.choice.positions
        draw, drawn_from = self._draw(config, earlier)
        names, opinions = looked.source.label_names, looked.opinions
        likely = [
            [
                (names[k], float(p))
                for k, p in zip(opinions.classes[i], opinions.probabilities[i], strict=True)
            ]
            for i in chosen.tolist()
        ]
        return write_queue(
            path,
            looked.source,
            chosen,
            label=config.label,
            data=config.path,
            likely=likely,
            selection_probability=[None if p != p else float(p) for p in self.choice.probabilities],
            reasons=self.choice.reasons,
            neighbours=None if looked.features is None else neighbours(looked.features, chosen),
            strategy=self.strategy,
            seed=self.seed,
            before=() if earlier is None else earlier.queue.candidates,
            draw=draw,
            drawn_from=drawn_from,
        )

    def _draw(self, config: DataConfig, earlier: Verification | None) -> tuple[int, str]:
        """The number of this draw, and what it was from; see `gdw.data.verification.Candidate`."""
        before = () if earlier is None else earlier.queue.candidates
        numbers, taken = self.looked.source.row_numbers, self.known.taken
        not_drawn = np.concatenate([numbers[taken], self.known.absent])
        if config.limit is None and np.isin(not_drawn, [row.index for row in before]).all():
            return 1 + max((row.draw or 0 for row in before), default=0), ""
        return FROM_A_PART, checksum_of_rows(numbers[~taken])


def read_rows(config: DataConfig, *, seed: int = 0) -> tuple[Source, Schema]:
    """The examples, which columns mark as verified or not, and their form. Needs no PyTorch.

    Raises:
        DataError, ConfigError: the data cannot be read, or have a single class.
    """
    from gdw.runs.prepare import read as read_sources

    aside = [name for name in (config.trusted, config.meta_label) if _is_column(name, config)]
    changes = {"meta": None, "trusted": None, "meta_size": None, "meta_label": None, "test": None}
    options = {name: getattr(config, name) for name in config.model_fields_set - changes.keys()}
    alone = DataConfig(**options | {"drop": [*config.drop, *aside]})
    sources = read_sources(alone, seed=seed)
    return sources.train, sources.schema


def known_rows(
    source: Source,
    schema: Schema,
    config: DataConfig,
    *,
    files: Sequence[Verification] = (),
    earlier: Verification | None = None,
) -> Known:
    """What is verified already: by `files`, by the options `meta` and `trusted`, and by an `earlier` file.

    Raises:
        DataError: a file is damaged, or of other data.
    """
    known = Known.nothing(len(source), len(source.label_names))
    add_files(known, source, config, files, earlier)
    if config.trusted is not None:
        known.add_column(source, config.trusted, config.meta_label)
    if config.meta is not None:
        label, options = config.meta_label or config.label, config.read_options
        known.add_others(schema.load(config.meta, label=label, options=options).known_labels)
    return known


def add_files(
    known: Known,
    source: Source,
    config: DataConfig,
    files: Sequence[Verification],
    earlier: Verification | None,
) -> None:
    """Add what is verified by `files`, and by an `earlier` file that more rows are added to.

    Raises:
        ConfigError, DataError: they are of other data.
    """
    stays = [] if earlier is None else [earlier]
    for file in stays:
        _require_same_form(source, config, file)
    for file in (*stays, *files):
        known.add_file(source, file, stays=file is earlier)
    known.notes.extend(verified_words([*stays, *files]))


def look(
    source: Source,
    schema: Schema,
    config: DataConfig,
    model: ModelConfig,
    *,
    seed: int = 0,
    progress: Any = "auto",
) -> Looked:
    """Encode the examples, and let quick models say what their labels could be.

    Args:
        source: the examples, as `read_rows` returns them.
        schema: their form.
        config: says how to encode them.
        model: names the backbone.
        seed: of the models.
        progress: what is shown while features are computed.
    """
    from gdw.suggestion.left_out import first_look

    encoder = _encoder(source, config, model, seed=seed, progress=progress)
    inputs = encoder.encode(source)
    X, opinions = first_look(inputs, source.known_labels, len(source.label_names), seed=seed)
    form = replace(
        schema,
        categories=getattr(encoder, "categories", {}),
        size=tuple(encoder.input_shape),
        backbone=model.backbone if model.uses_backbone else "",
    )
    return Looked(source, opinions, X, form.features())


def suggestion(
    looked: Looked, known: Known, n: int, strategy: Strategy = "mixed", *, seed: int = 0
) -> Suggestion:
    """Choose the rows, see `gdw.suggestion.choose`.

    Raises:
        DataError: no row is left.
    """
    require_rows_left(looked, known)
    # Another draw with the same seed is not to repeat the random numbers of the first one: its rows would be
    # beside the first ones, and like them where similar rows are next to each other.
    not_drawn = int(known.taken.sum()) + len(known.absent)
    choice = choose(
        looked.opinions,
        n,
        strategy,
        taken=known.taken,
        counted=known.counted,
        seed=seed + not_drawn,
    )
    return Suggestion(looked, known, choice, strategy, seed)


def require_rows_left(looked: Looked, known: Known) -> None:
    """`DataError` if there is no row that could be suggested."""
    if known.taken.all():
        raise DataError(
            f"nothing is left to suggest: all {counted(len(known.taken), 'row')} of "
            f"{looked.source.origin} are verified, or in the verification file already"
        )


def verification_files(
    config: DataConfig, paths: Sequence[str]
) -> tuple[DataConfig, list[Verification]]:
    """The verification files among `paths`, `meta` and `trusted`, and the options without them.

    Raises:
        DataError: one of `paths` is no verification file.
    """
    found = [read(path) for path in paths]
    changes: dict[str, None] = {}
    for option in ("meta", "trusted"):
        value = getattr(config, option)
        if value is not None and value.endswith(".jsonl") and is_queue(value):
            if config.meta_label is not None:
                raise ConfigError(
                    f"{value} is a verification file, which has its own labels: leave --meta-label out"
                )
            found.append(read(value))
            changes[option] = None
    return config.model_copy(update=changes), found


def earlier_file(path: str | os.PathLike[str]) -> Verification | None:
    """The verification file at `path`, to which rows are added; None if there is none."""
    return read(path) if Path(path).exists() and is_queue(path) else None


def _require_same_form(source: Source, config: DataConfig, file: Verification) -> None:
    """Raise `ConfigError` if rows of `source` cannot be added to a verification file."""
    queue = file.queue
    for what, then, now in (
        ("labels", queue.label, config.label),
        ("kind", queue.kind, source.kind),
        ("columns", queue.columns, source.feature_columns),
    ):
        if then != now:
            raise ConfigError(
                f"rows cannot be added to {shown(queue.path)}, which has other {what} ({_words(then)}, now "
                f"{_words(now)}): use the options that it was made with, or choose another --output"
            )


def _words(names: str | Sequence[str]) -> str:
    return listed([names] if isinstance(names, str) else names, 5)


def _is_column(name: str | None, config: DataConfig) -> bool:
    return name is not None and name != config.label


def _encoder(
    source: Source, config: DataConfig, model: ModelConfig, *, seed: int, progress: Any
) -> Any:
    size = config.image_size
    if model.uses_backbone:
        from gdw.runs.backbone_inputs import fit_to_backbone

        return fit_to_backbone(source, model, image_size=size, seed=seed, progress=progress)[0]
    from gdw.data.encode.encoder import fit_encoder

    return fit_encoder(source, image_size=size, max_features=config.max_words)
