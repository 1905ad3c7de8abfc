"""Whether a second file can be read with the columns of the first."""

from __future__ import annotations

from gdw.data.columns import ConversionError, column_type, to_pandas
from gdw.data.source import Source
from gdw.errors import DataError, nearest
from gdw.files.wording import listed


def match_features(other: Source, reference: Source) -> Source:
    """`other` with the feature columns of `reference`, in their order and read as their types.

    Raises `DataError` for another kind of data, missing columns, numbers where there should be names or the
    other way about, arrays of another shape.
    """
    if other.kind != reference.kind:
        raise DataError(
            f"{other.origin} is {other.kind} data, but {reference.origin} is {reference.kind} data: "
            "both must be of one kind"
        )
    if other.kind == "array":
        found, expected = other.array().shape[1:], reference.array().shape[1:]
        if found != expected:
            raise DataError(
                f"examples of {other.origin} have the shape {found}, expected {expected} as in "
                f"{reference.origin}"
            )
    if other.kind != "table":
        return other
    missing = [name for name in reference.feature_columns if name not in other.columns]
    if missing:
        raise DataError(
            f"{other.origin} lacks the column {listed(missing)} of {reference.origin}."
            f"{nearest(missing[0], other.columns)} Its columns: {listed(other.columns)}"
        )
    types = {name: reference.column_types[name] for name in reference.feature_columns}
    matched = other.typed(types)
    for name in types:
        _check_column(matched, reference, name)
    return matched


def _check_column(other: Source, reference: Source, name: str) -> None:
    """Numbers may turn out to be names that look like numbers, but then some of them must be known names."""
    values = other.rows.arrow(name, other.row_numbers)
    wanted = reference.column_types[name]
    found = column_type(values, untyped=other.rows.untyped)
    if found == wanted or "missing" in (found, wanted):
        return
    try:
        series = to_pandas(values, wanted, untyped=other.rows.untyped)
    except ConversionError as error:
        place = other.where(error.position)
        raise DataError(
            f"{place}: column {name!r} is a {wanted} in {reference.origin}, found {error.value!r}"
        ) from None
    if wanted == "category":
        theirs = reference.rows.arrow(name, reference.row_numbers)
        known = set(to_pandas(theirs, wanted, untyped=reference.rows.untyped).dropna().map(str))
        if known.isdisjoint(series.dropna().map(str)):
            raise DataError(
                f"column {name!r} of {other.origin} holds numbers, but in {reference.origin} names such as "
                f"{listed(sorted(known), 3)}: write it the same way in both"
            )
