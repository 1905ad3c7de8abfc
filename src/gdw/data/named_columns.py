"""Checks of the input columns that the user names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gdw.data.column_contents import holds_images, is_text
from gdw.data.rows import Rows
from gdw.errors import ConfigError, DataError, listed

if TYPE_CHECKING:
    from gdw.data.loading import ColumnOptions


def check_named(rows: Rows, options: ColumnOptions, columns: Sequence[str], origin: str) -> None:
    """Check that the input columns that the user names can be inputs.

    Raises:
        DataError: a column does not exist or does not fit.
        ConfigError: the list is empty, or has the label column.
    """
    if not columns:
        raise ConfigError(
            "the list of feature columns is empty: name at least one, or leave it out"
        )
    for name in columns:
        rows.require(name, origin)
        if name == options.label:
            raise ConfigError(f"the label column {name!r} cannot be an input as well")
    _check_type(rows, options, origin)


def _check_type(rows: Rows, options: ColumnOptions, origin: str) -> None:
    if options.text and not is_text(rows.arrow(options.text).type):
        raise DataError(f"the text column {options.text!r} of {origin} does not hold text")
    if options.image:
        values = rows.arrow(options.image)
        if not (holds_images(values) or is_text(values.type)):
            raise DataError(
                f"the image column {options.image!r} of {origin} should hold bytes, paths or "
                f"{{bytes, path}}, found {values.type}"
            )


def require_not_dropped(options: ColumnOptions) -> None:
    """Raise `ConfigError` if a column is both chosen and dropped, or the label column is dropped."""
    if options.label in options.drop:
        raise ConfigError(
            f"{options.label!r} is the label column, which is never learned from: take it out of --drop "
            "(drop=), or name the column with the labels by --label (label=)"
        )
    chosen = (options.image, options.text, *(options.features or ()))
    both = [name for name in options.drop if name in chosen]
    if both:
        raise ConfigError(
            f"{listed(both)}: expected a column to be learned from or dropped, found both: take it out of "
            "--drop (drop=), or do not choose it"
        )
