"""The noise matrix: how often each true class was given each label, and how well that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gdw.audit.belief import belief
from gdw.audit.evidence import Evidence, Floats, Ints
from gdw.errors import DataError

_JEFFREYS = 0.5
_TAIL = 0.025
_LEAST_CONFUSION = 0.5


@dataclass(frozen=True, eq=False)
class Cells:
    """The entries of a noise matrix that anything was counted for, by true and then given class.

    Attributes:
        true, given: `(E,)` classes.
        probability, low, high: `(E,)`, P(given | true) with its 95 % interval.
        count: `(E,)`, the examples of that true class and given label, as a sum of probabilities.
        row_count: `(C,)`, sums of `count` by true class.
        effective: `(C,)`, the observations that the intervals of each true class stand for.
    """

    true: Ints
    given: Ints
    probability: Floats
    low: Floats
    high: Floats
    count: Floats
    row_count: Floats
    effective: Floats

    def confusions(self, count: int) -> list[int]:
        """The entries off the diagonal behind which the most examples are, at most `count`."""
        wrong = np.flatnonzero((self.true != self.given) & (self.count >= _LEAST_CONFUSION))
        order = np.argsort(-self.count[wrong], kind="stable")[:count]
        chosen: list[int] = wrong[order].tolist()
        return chosen


@dataclass(frozen=True, eq=False)
class NoiseMatrix:
    """Each `(C, C)` float64 by `[true class, given label]`.

    Attributes:
        probability: P(given | true); rows sum to one.
        low, high: its 95 % interval.
        count: examples of that true class and given label, as a sum of probabilities.
    """

    probability: Floats
    low: Floats
    high: Floats
    count: Floats


def noise_matrix(
    evidence: Evidence, clean: tuple[ArrayLike | None, ArrayLike] | None = None
) -> NoiseMatrix:
    """The estimated noise matrix of the training labels.

    Args:
        evidence: of N examples and C classes.
        clean: `(given, true)` labels `(M,)` of the clean examples, codes below C; `given` None where the
            doubtful labels of the clean examples are unknown. By default those of the evidence.

    Returns:
        Four `(C, C)` arrays, with uniform rows for classes that nothing was counted for; for thousands of
        classes `noise_cells` needs far less memory.

    Raises:
        DataError: clean labels that are no codes or of different lengths.
    """
    cells = noise_cells(evidence, clean)
    c = evidence.num_classes
    known = np.isin(np.arange(c), cells.true)[:, None]
    matrix = NoiseMatrix(
        probability=np.repeat(np.where(known, 0.0, 1.0 / c), c, axis=1),
        low=np.zeros((c, c)),
        high=np.repeat(_interval(np.zeros(c), cells.effective)[1][:, None], c, axis=1),
        count=np.zeros((c, c)),
    )
    for name, whole in vars(matrix).items():
        whole[cells.true, cells.given] = getattr(cells, name)
    return matrix


def noise_cells(
    evidence: Evidence, clean: tuple[ArrayLike | None, ArrayLike] | None = None
) -> Cells:
    """The noise matrix without the entries that nothing was counted for; arguments as `noise_matrix`.

    Every training example counts for each class by its probability. The observations that an interval
    stands for are the sum of the squared probabilities (a certain example is one, an uncertain one less),
    and no more than the clean examples of the class: nothing else can tell how far the probabilities are
    right. Clean examples with a doubtful label are observations themselves and count besides.
    """
    c = evidence.num_classes
    given, true = _checked(evidence.clean if clean is None else clean, c)
    counts, certain = _soft_counts(evidence)
    row_count = np.asarray(counts.sum(1)).ravel()
    effective = certain
    if true is not None:
        effective = np.minimum(certain, np.bincount(true, minlength=c))
    scale = np.divide(effective, row_count, out=np.zeros(c), where=row_count > 0)
    observed = _scaled(counts, scale)
    if given is not None and true is not None:
        pairs = _sparse(np.ones(len(true)), true, given, c)
        observed = observed + pairs
        effective = effective + np.asarray(pairs.sum(1)).ravel()
    # A class that no clean example confirms keeps its estimate, with an interval that says so.
    observed = observed + _scaled(counts, (effective <= 0).astype(np.float64))
    return _cells(observed, counts, row_count, effective)


def _cells(observed: Any, counts: Any, row_count: Floats, effective: Floats) -> Cells:
    entries = observed.tocoo()
    true, given = entries.row, entries.col
    sums = np.asarray(observed.sum(1)).ravel()
    probability = entries.data / sums[true]
    low, high = _interval(probability * effective[true], effective[true])
    return Cells(
        true=true,
        given=given,
        probability=probability,
        low=np.minimum(low, probability),
        high=np.maximum(high, probability),
        count=_at(counts, true, given),
        row_count=row_count,
        effective=effective,
    )


def _at(counts: Any, rows: Ints, columns: Ints) -> Floats:
    """The entries of `counts` at these places, 0 where it has none."""
    entries, width = counts.tocoo(), counts.shape[1]
    keys = entries.row.astype(np.int64) * width + entries.col
    order = np.argsort(keys)
    wanted = rows.astype(np.int64) * width + columns
    place = np.searchsorted(keys, wanted, sorter=order).clip(max=len(keys) - 1)
    found = order[place]
    values: Floats = np.where(keys[found] == wanted, entries.data[found], 0.0)
    return values


def _interval(hits: Floats, trials: Floats) -> tuple[Floats, Floats]:
    """The central 95 % of a Beta posterior under Jeffreys' prior."""
    from scipy.special import betaincinv

    a, b = hits + _JEFFREYS, np.maximum(trials - hits, 0) + _JEFFREYS
    # Less than one observation is no proof that there is any.
    low = np.where(hits < 1, 0.0, betaincinv(a, b, _TAIL))
    return low, betaincinv(a, b, 1 - _TAIL)


def _soft_counts(evidence: Evidence) -> tuple[Any, Floats]:
    """`(C, C)` sparse counts by true class and given label; `(C,)` sums of squared probabilities.

    The likeliest classes of an example and its given label share its whole probability.
    """
    c, found = evidence.num_classes, belief(evidence)
    known = (found.classes == evidence.given[:, None]).any(1)
    rest = np.where(known, 0.0, found.given)
    total = np.maximum(found.probabilities.sum(1) + rest, np.finfo(np.float32).tiny)
    counts, certain = _sparse(rest / total, evidence.given, evidence.given, c), np.zeros(c)
    certain += np.bincount(evidence.given, (rest / total) ** 2, minlength=c)
    for classes, p in zip(found.classes.T, found.probabilities.T, strict=True):
        share = p / total
        counts = counts + _sparse(share, classes, evidence.given, c)
        certain += np.bincount(classes, share.astype(np.float64) ** 2, minlength=c)
    return counts.tocsr(), certain


def _sparse(values: Floats, rows: Ints, columns: Ints, classes: int) -> Any:
    from scipy.sparse import coo_array

    some = values > 0
    entries = (values[some].astype(np.float64), (rows[some], columns[some]))
    return coo_array(entries, shape=(classes, classes)).tocsr()


def _scaled(counts: Any, factors: Floats) -> Any:
    from scipy.sparse import diags_array

    return diags_array(factors) @ counts


def _checked(
    clean: tuple[ArrayLike | None, ArrayLike] | None, classes: int
) -> tuple[Ints | None, Ints | None]:
    if clean is None:
        return None, None
    given, true = (None if part is None else np.asarray(part) for part in clean)
    for part in (given, true):
        if part is None:
            continue
        fits = part.ndim == 1 and part.dtype.kind in "iu" and true is not None
        if not fits or (part.size and not 0 <= part.min() <= part.max() < classes):
            raise DataError(
                f"clean: expected labels (given, true), integers from 0 to {classes - 1} of shape (M,), "
                f"found {part.dtype} of shape {part.shape}"
            )
    if given is not None and true is not None and len(given) != len(true):
        raise DataError(f"clean: {len(given)} given labels, but {len(true)} true ones")
    return given, true
