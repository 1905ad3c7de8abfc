"""Loading: from a path and the names of columns to a `Source`, whose inputs are recognised."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from gdw.data.cells import noting_empty_texts
from gdw.data.checks import (
    column_notes,
    index_note,
    number_keys,
    require_classes,
    row_number_note,
)
from gdw.data.column_contents import (
    are_sentences,
    holds_images,
    is_prose,
    is_text,
    mostly_distinct,
    sample_values,
)
from gdw.data.columns import feature_types, is_identifier, without_features
from gdw.data.labels import with_name_notes
from gdw.data.named_columns import check_named, require_not_dropped
from gdw.data.rows import Kind, Rows, open_rows
from gdw.data.source import Source
from gdw.data.split import limited
from gdw.data.text_files import ReadOptions
from gdw.errors import ConfigError, DataError, composed, listed, shown

# The names under which pandas writes the row index of a data frame.
INDEX_COLUMNS = ("", "Unnamed: 0", "__index_level_0__")
_INDEX, _TEXTS = "a row index of pandas", "almost no value occurs twice"
_KEY = "it is named like a key and differs in every row"
KEY_REASONS = (_INDEX, _TEXTS, _KEY)
"""Why `Source.unused` has a column that only says which row it is."""
# The kind of the inputs that each option chooses.
_KIND_OF: dict[str, Kind] = {"image": "image", "text": "text", "features": "table"}


def drop_option(names: Sequence[str]) -> str:
    """The option that leaves columns out."""
    return f"--drop {shlex.quote(','.join(names))}"


@dataclass(frozen=True)
class ColumnOptions:
    """What the user says about the columns of a file, see `load`, and advice on columns that are not used."""

    label: str | None
    image: str | None
    text: str | None
    features: Sequence[str] | None
    drop: Sequence[str]
    to_use: str = "name the columns to use (--features, features=; --features all takes all)"
    to_use_text: str = "learn from one of them as text (--text, text=) or "
    how_to_drop: Callable[[Sequence[str]], str] = drop_option
    all_features: bool = False

    @property
    def named(self) -> bool:
        """Whether the user has chosen the features of a table."""
        return self.all_features or self.features is not None

    def resolved(self, rows: Rows, origin: str) -> ColumnOptions:
        """The same with the names that the columns have in the file."""
        every = [*(self.features or ())] == ["all"] and "all" not in rows.columns
        named = None if every or self.features is None else self.features
        return replace(
            self,
            all_features=every,
            label=None if self.label is None else rows.resolve_label(self.label),
            image=None if self.image is None else composed(self.image),
            text=None if self.text is None else composed(self.text),
            drop=rows.resolve_names(self.drop, origin),
            features=None if named is None else rows.resolve_names(named, origin),
        )


@dataclass(frozen=True)
class InputColumns:
    """The kind of the inputs, their columns, notes on how they were chosen, and why others were not."""

    kind: Kind
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()
    unused: Mapping[str, str] = field(default_factory=dict)


def load(
    path: str | Path,
    *,
    label: str | None,
    image: str | None = None,
    text: str | None = None,
    features: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    set_aside: Sequence[str] = (),
    label_names: Sequence[str] | None = None,
    names_declared: bool = False,
    label_as_classes: bool = False,
    merge_labels: bool = False,
    limit: int | None = None,
    seed: int = 0,
    options: ReadOptions = ReadOptions(),  # noqa: B008 - frozen
) -> Source:
    """Open a file, or a folder of class folders of images. `gdw.data.formats` lists the formats.

    Args:
        path: the file or folder.
        label: the name of the label column; None: no labels are read (for prediction). In a folder the label
            column is `label`. In an `.npz` file it is `y`, which `label` means too.
        image, text, features: the column or columns of the inputs. By default they are recognised, see
            `recognise_inputs`; the features `["all"]` are all columns, row numbers and keys too.
        drop: columns that are not features.
        set_aside: columns with another purpose, such as other labels. They are not features, and need not
            exist.
        label_names: the class names of an earlier file. The labels are then codes into these names.
        names_declared: the `Source.names_declared` of the earlier file. Without it, class numbers are not
            taken for names.
        label_as_classes: whether labels that look like measured numbers, or that hardly repeat, are classes.
            By default, they are refused.
        merge_labels: whether labels that differ only in case, white space or invisible characters are one
            class, with the most frequent spelling as its name.
        limit: keep a random subset of this many rows, in the order of the file. The subset is stratified by
            label, unless `limit` is smaller than the number of classes.
        seed: of the random subset.
        options: the delimiter, quotes and encoding of a text file.

    Returns:
        The examples, as they are in the file.

    Raises:
        DataError: the file cannot be read, or its columns do not fit.
        ConfigError: the options contradict each other.
    """
    rows, origin = open_rows(path, options), shown(path)
    chosen = ColumnOptions(label, image, text, features, drop).resolved(rows, origin)
    if chosen.drop:
        require_not_dropped(chosen)
    chosen = replace(chosen, drop=[*chosen.drop, *map(composed, set_aside)])
    inputs = recognise_inputs(rows, chosen, origin)
    source = Source(inputs.kind, origin, (), None, np.arange(len(rows)), inputs.columns, rows)
    notes, unused = rows.notes + inputs.notes, inputs.unused
    source = replace(source, notes=notes, unused=unused, labels_merged=merge_labels)
    if chosen.label is not None:
        source = source.label_column(chosen.label, label_names, names_declared=names_declared)
        if label_names is None and not label_as_classes:
            require_classes(source, chosen.label)
        source = with_name_notes(source) if label_names is None else source
    if inputs.kind == "table":
        source = _typed(source, chosen, first=label_names is None)
    source = source if limit is None else limited(source, limit, seed)
    return noting_empty_texts(source) if inputs.kind == "text" else source


def _typed(source: Source, options: ColumnOptions, *, first: bool) -> Source:
    """A table with the types of its features, and notes on them; `first` for the data to train on."""
    types = feature_types(source.rows, source.feature_columns, source.origin)
    notes = source.notes + column_notes(source.rows, types)
    if first and source.labels is not None:
        notes += row_number_note(source, types, options.how_to_drop, named=options.named)
    return replace(source.typed(types), notes=notes)


def recognise_inputs(rows: Rows, options: ColumnOptions, origin: str) -> InputColumns:
    """The kind of the inputs and their columns.

    An image, text or feature column that the user names is used. Otherwise:

    - if a column holds images, the inputs are images;
    - if exactly one column holds prose (mostly different texts of several words) and all other columns of
      text are identifiers, the inputs are texts; also if a column holds sentences that hardly repeat;
    - anything else is a table. Its features are all columns but the label, the dropped ones, pandas' row
      index, row numbers and keys, columns whose texts hardly ever repeat, and lists, bytes and the like
      (notes name these).

    Raises:
        DataError: a column does not exist or does not fit.
        ConfigError: the options contradict each other.
    """
    named = [o for o in _KIND_OF if getattr(options, o) is not None]
    named += ["features"] if options.all_features else []
    if len(named) > 1:
        raise ConfigError(f"{listed(named)} exclude each other: name one kind of input")
    if rows.kind is not None:
        return _only_column(rows, rows.kind, named, origin)
    if options.all_features:
        return InputColumns("table", tuple(_without(rows, {options.label, *options.drop}, origin)))
    if not named:
        return _recognise(rows, options, origin)
    chosen = getattr(options, named[0])
    columns = (chosen,) if isinstance(chosen, str) else tuple(map(str, chosen))
    check_named(rows, options, columns, origin)
    return InputColumns(_KIND_OF[named[0]], columns)


def _only_column(rows: Rows, kind: Kind, named: Sequence[str], origin: str) -> InputColumns:
    """The inputs of a format that determines them."""
    if named and named != [kind]:
        raise ConfigError(
            f"{origin} holds {kind} data: {named[0]!r} columns cannot be chosen from it"
        )
    return InputColumns(kind, rows.columns[:1])


def _recognise(rows: Rows, options: ColumnOptions, origin: str) -> InputColumns:
    left_out = {options.label, *options.drop}
    index = [name for name in INDEX_COLUMNS if name not in left_out]
    names = _without(rows, left_out.union(index), origin)
    image = _image_column(rows, names, origin)
    if image is not None:
        return _alone("image", image, names)
    texts = [name for name in names if _holds_texts(rows, name)]
    text = _text_column(rows, texts)
    if text is not None:
        return _alone("text", text, names)
    table = _table(rows, names, texts, origin, options)
    present = [name for name in index if name in rows.columns]
    unused = dict.fromkeys(present, _INDEX) | dict(table.unused)
    return replace(table, notes=index_note(present) + table.notes, unused=unused)


def _without(rows: Rows, left_out: Collection[str | None], origin: str) -> list[str]:
    names = [name for name in rows.columns if name not in left_out]
    if not names:
        raise DataError(
            f"{origin} has no column left for the inputs. Its columns: {listed(rows.columns)}"
        )
    return names


def _alone(kind: Kind, column: str, names: Sequence[str]) -> InputColumns:
    unused = [name for name in names if name != column]
    note = f"learning from the {kind}s of {column!r} alone, not from {listed(unused)}"
    why = dict.fromkeys(unused, f"the inputs are the {kind}s of {column!r} alone")
    return InputColumns(kind, (column,), (note,) if unused else (), why)


def _image_column(rows: Rows, names: Sequence[str], origin: str) -> str | None:
    images = [name for name in names if holds_images(rows.arrow(name))]
    if len(images) > 1:
        raise DataError(
            f"{origin} has several image columns, {listed(images)}: name the one to use"
        )
    return images[0] if images else None


def _text_column(rows: Rows, texts: Sequence[str]) -> str | None:
    """The column of `texts` to learn from alone, or None.

    It is the single column of prose, if all other columns are identifiers; else, of the columns of sentences
    that hardly repeat, and so could not be features of a table, the one with the longest.
    """
    samples = {name: sample_values(rows.arrow(name)) for name in texts}
    prose = [name for name in texts if is_prose(samples[name])]
    unique = [name for name in texts if mostly_distinct(samples[name])]
    if len(prose) == 1 and set(texts) <= {*prose, *unique}:
        return prose[0]
    sentences = [name for name in prose if name in unique and are_sentences(samples[name])]
    return max(sentences, key=lambda name: sum(map(len, samples[name])), default=None)


def _table(
    rows: Rows, names: Sequence[str], texts: Sequence[str], origin: str, options: ColumnOptions
) -> InputColumns:
    identifiers = [name for name in texts if is_identifier(rows.arrow(name), untyped=rows.untyped)]
    other = without_features(rows, names)
    unused = dict.fromkeys(other, "its type cannot be a feature of a table")
    rest = [name for name in names if name not in {*identifiers, *other}]
    keys = number_keys(rows, rest)
    keys = [] if len(keys) == len(rest) else keys
    features = tuple(name for name in rest if name not in keys)
    anyhow = options.to_use_text + options.to_use
    types = f"a table has no features of these types: {', '.join(other.values())}"
    if not features:
        repeats = f"almost no value of {listed(identifiers)} occurs twice: {anyhow}"
        reason = repeats if identifiers else types
        raise DataError(f"{origin} has no column left for the inputs, because {reason}")
    notes = [f"not used, because {types}"] if other else []
    for reason, alike, fix in ((_TEXTS, identifiers, anyhow), (_KEY, keys, options.to_use)):
        if alike:
            notes.append(f"not used, because {reason}: {listed(alike)}; to use it, {fix}")
            unused |= dict.fromkeys(alike, reason)
    return InputColumns("table", features, tuple(notes), unused)


def _holds_texts(rows: Rows, name: str) -> bool:
    """Whether a column holds texts that are not numbers."""
    if not is_text(rows.arrow(name).type):
        return False
    if rows.untyped:
        return rows.cells(name).type == "category"
    return not rows.holds_text_of_numbers(name)
