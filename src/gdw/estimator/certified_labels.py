"""`GDWClassifier.certify`: how many labels are wrong, from rows that were drawn at random and verified."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdw.certify import Certificate, VerifierError, certify_labels
from gdw.errors import DataError
from gdw.estimator.containers import as_array, unwrapped
from gdw.estimator.encoding import encode
from gdw.estimator.given_labels import check_labels, code_known_labels, known_spelling
from gdw.estimator.parameters import wanted_backbone


class CertifiedLabels:
    """The method `certify` of an estimator. It needs no `fit`, and `fit` does not change its result."""

    certificate_: Certificate
    backbone: Any
    merge_labels: bool

    def certify(
        self,
        X: Any,
        y: ArrayLike,
        rows: ArrayLike,
        labels: ArrayLike,
        *,
        probability: ArrayLike | None = None,
        batch: ArrayLike | None = None,
        target: float | None = None,
        most_right: float | None = None,
        confidence: float = 0.95,
        verifier_error: float | VerifierError = 0.0,
    ) -> Certificate:
        """Certify how many of the labels `y` are wrong, from rows that a person has verified.

        The rows must have been drawn from `X` at random, as `gdw.suggest(X, y, n=100, strategy="random")`
        does. Quick models of `y`, each of which predicts rows that it was trained without, make the interval
        narrower. They do not use verified labels, nor what `fit` has learned. See `docs/certificate.md`.

        Parameters
        ----------
        X : as in `fit`, with n_samples rows
        y : array-like of shape (n_samples,)
            The labels as they were given, also those of the verified rows: not corrected.
        rows : array-like of int of shape (n_verified,)
            The verified rows of `X`, from 0, 10 or more; or a mask of shape (n_samples,).
        labels : array-like of shape (n_verified,)
            Their verified labels, in the order of `rows`.
        probability : array-like of shape (n_verified,), default=None
            How likely each of these rows was to be drawn; NaN for rows that were not drawn at random. None:
            all rows of `X` were equally likely.
        batch : array-like of shape (n_verified,), default=None
            Numbers that say in which of several draws each row came, in their order.
        target : float, default=None
            The largest share of wrong labels, such as 0.03: the certificate then says how many rows to leave
            out, or to relabel, so that no more are wrong.
        most_right : float, default=None
            The largest share of right labels among the relabelled ones.
        confidence : float, default=0.95
            Of each statement.
        verifier_error : float or gdw.certify.VerifierError, default=0.0
            The verified labels are wrong in at most this share of the rows, or what
            `gdw.certify.rate_of_two` returns.

        Returns
        -------
        gdw.certify.Certificate
            It is also kept, as `certificate_`.

        Raises
        ------
        ValueError
            There is no certificate, with the reason (`DataError`, `ConfigError`).
        """
        from gdw.estimator.classifier import GDWClassifier
        from gdw.estimator.fitting import DataNoteWarning
        from gdw.suggestion.left_out import first_look

        # Another one is told what the data are, so that this one stays as it was fitted.
        estimator = GDWClassifier(backbone=self.backbone, merge_labels=self.merge_labels)
        wanted = wanted_backbone(estimator)
        data = encode(estimator, X, y, wanted=wanted, sample_weight=None, meta=None, trusted=None)
        for note in data.notes:
            warnings.warn(note, DataNoteWarning, stacklevel=2)
        positions = _positions(rows, len(data.rows))
        codes = _codes(labels, positions, data.classes, estimator)
        given = data.examples.targets.numpy()
        _, seen = first_look(data.examples.inputs, given, len(data.classes))
        self.certificate_ = certify_labels(
            given,
            seen.wrong.astype(np.float64),
            positions,
            codes,
            tuple(map(str, data.classes.tolist())),
            suggested=seen.likely,
            probability=probability,
            batch=batch,
            target=target,
            most_right=most_right,
            confidence=confidence,
            verifier_error=verifier_error,
        )
        return self.certificate_

    def __sklearn_is_fitted__(self) -> bool:
        """Whether `fit` was called: a certificate alone predicts nothing."""
        return hasattr(self, "module_")


def _positions(rows: Any, size: int) -> NDArray[np.int64]:
    """The verified rows as positions `(m,)`, from positions or from a mask `(N,)`."""
    values = as_array(unwrapped(rows, "rows"))
    if values.dtype.kind == "b" and values.shape == (size,):
        return np.flatnonzero(values)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise DataError(
            "rows: expected the positions of the verified rows of X, as whole numbers from 0, or a mask of "
            f"{size}, found {values.dtype} {values.shape}"
        )
    positions: NDArray[np.int64] = values.astype(np.int64)
    return positions


def _codes(
    labels: Any, rows: NDArray[np.int64], classes: NDArray[Any], estimator: Any
) -> NDArray[np.int64]:
    """The verified labels as class numbers `(m,)`."""
    verified = check_labels(labels, estimator, "labels")
    if len(verified) != len(rows):
        raise DataError(
            f"labels: expected one for each of the {len(rows)} verified rows, in their order, found "
            f"{len(verified)}"
        )
    if estimator.merge_labels:
        verified = known_spelling(verified, classes)
    return code_known_labels(verified, classes, "labels")
