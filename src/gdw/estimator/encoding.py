"""From the arguments of `fit` to encoded examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gdw.data.examples import Examples
from gdw.errors import ConfigError, DataError, one_line
from gdw.estimator.containers import as_array, require_order_of, unwrapped
from gdw.estimator.doubtful_labels import placeholder_note
from gdw.estimator.form_encoder import FormEncoder
from gdw.estimator.given_labels import (
    check_labels,
    code_known_labels,
    code_labels,
    known_spelling,
    merged_labels,
)
from gdw.estimator.validation import check_features, recognise_form, select_rows
from gdw.estimator.verified_rows import check_trusted
from gdw.estimator.wanted_backbone import WantedBackbone


@dataclass(frozen=True, eq=False)
class EncodedData:
    """The checked and encoded data of a fit.

    Attributes:
        encoder: fitted on the rows of `X` that are used.
        classes: `(C,)`, sorted.
        examples: those R rows, encoded, with the codes of their classes `(R,)`.
        rows: int64 `(R,)`, their positions in `X`.
        weights: float64 `(R,)`, positive; None if all are equal.
        trusted: booleans `(R,)`; None if `fit` did not get them.
        meta: the separate clean examples; None if there are none.
        notes: one line each for the user, on what is not used or is read in another way than it looks.
    """

    encoder: FormEncoder
    classes: NDArray[Any]
    examples: Examples
    rows: NDArray[np.int64]
    weights: NDArray[np.float64] | None
    trusted: NDArray[np.bool_] | None
    meta: Examples | None
    notes: tuple[str, ...]


def encode(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    wanted: WantedBackbone,
    sample_weight: Any,
    meta: Any,
    trusted: Any,
) -> EncodedData:
    """Check and encode the arguments of `GDWClassifier.fit`, and set `n_features_in_` of the estimator.

    Raises:
        ValueError, TypeError: as `GDWClassifier.fit`.
    """
    if meta is not None and trusted is not None:
        raise ConfigError(
            "expected the clean examples as meta or as trusted, found both: leave one out"
        )
    for name, given in (("y", y), ("sample_weight", sample_weight), ("trusted", trusted)):
        require_order_of(X, given, name)
    labels, notes = merged_labels(check_labels(y, estimator), merge=estimator.merge_labels)
    notes += placeholder_note(labels)
    X = unwrapped(X, "X")
    form = recognise_form(X, own_module=estimator.module is not None)
    checked = check_features(estimator, X, form, fitting=True)
    length = _require_same_length(checked, labels)
    rows, weights = _check_weights(sample_weight, checked, length)
    mask = None
    if trusted is not None:
        mask, missing = check_trusted(trusted, length)
        notes += missing
    classes, codes = code_labels(labels[rows])
    checked = checked if len(rows) == length else select_rows(checked, rows)
    encoder, unused = FormEncoder.fit(form, checked, codes, classes, wanted)
    if estimator.module is not None and form in ("texts", "table"):
        unused += _note_on_words(encoder)
    clean = None
    if meta is not None:
        clean, of_clean = _encode_meta(estimator, meta, encoder, classes)
        unused += of_clean
    return EncodedData(
        encoder=encoder,
        classes=classes,
        examples=Examples(encoder.encode(checked)[0], torch.from_numpy(codes)),
        rows=rows,
        weights=weights,
        trusted=None if mask is None else mask[rows],
        meta=clean,
        notes=notes + unused,
    )


def _note_on_words(encoder: FormEncoder) -> tuple[str, ...]:
    """What a network of the user's own gets of texts."""
    if encoder.encoder.kind != "text":
        return ()
    (terms,) = encoder.encoder.input_shape
    return (
        f"module gets the texts as TF-IDF of {terms:,} words and other terms, not as tokens. For a network "
        "that takes tokens use backbone=gdw.backbones.of_module(network, kind='text', tokenizer=...) instead",
    )


def _require_same_length(checked: Any, labels: NDArray[Any]) -> int:
    length: int = checked.shape[0] if hasattr(checked, "shape") else len(checked)
    if len(labels) != length:
        raise DataError(
            f"Found input variables with inconsistent numbers of samples: {length} rows in X, "
            f"{len(labels)} labels in y"
        )
    return length


def _check_weights(
    sample_weight: Any, X: Any, length: int
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    """The rows with a positive weight, and their weights; None if all weights are equal."""
    from sklearn.utils.validation import _check_sample_weight

    if sample_weight is None:
        return np.arange(length), None
    _refuse_mask(sample_weight)
    weights: NDArray[np.float64] = _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    if np.all(weights == weights[0]) and weights[0] > 0:
        # Weights of one must change nothing at all.
        return np.arange(length), None
    rows = np.flatnonzero(weights)
    return rows, weights[rows]


def _refuse_mask(sample_weight: Any) -> None:
    if isinstance(sample_weight, (list, tuple)) or hasattr(sample_weight, "dtype"):
        values = as_array(sample_weight)
        if values.size and all(isinstance(value, (bool, np.bool_)) for value in values.flat):
            raise DataError(
                "sample_weight: expected numbers, found true and false: did you mean trusted=? If they are "
                "weights, write them as 1.0 and 0.0"
            )


def _encode_meta(
    estimator: Any, meta: Any, encoder: FormEncoder, classes: NDArray[Any]
) -> tuple[Examples, tuple[str, ...]]:
    """The encoded clean examples of `meta`, and notes on them."""
    if not isinstance(meta, (tuple, list)) or len(meta) != 2:
        raise DataError(
            f"meta: expected a pair (X, y) of clean examples, found {type(meta).__name__}"
        )
    X, y = meta
    require_order_of(X, y, "meta: y")
    try:
        checked = check_features(estimator, unwrapped(X, "meta"), encoder.form, fitting=False)
        inputs, notes = encoder.encode(checked)
    except ValueError as error:
        raise DataError(f"meta: {one_line(error)}") from error
    labels = check_labels(y, estimator, "meta")
    labels = known_spelling(labels, classes) if estimator.merge_labels else labels
    codes = code_known_labels(labels, classes, "meta")
    if len(inputs) != len(codes):
        raise DataError(
            f"meta: X has {len(inputs)} rows, y has {len(codes)}: the numbers must be equal"
        )
    return Examples(inputs, torch.from_numpy(codes)), tuple(f"meta: {note}" for note in notes)
