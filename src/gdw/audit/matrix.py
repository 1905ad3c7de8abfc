"""The noise matrix P(given label | true class), estimated with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gdw.audit.evidence import Evidence, Floats, Ints
from gdw.audit.issues import true_class_probabilities
from gdw.errors import DataError, shown
from gdw.files.representation import ShortRepr

_JEFFREYS = 0.5
_TAIL = 0.025
_NORMAL = 1.96
_TINY = np.finfo(np.float64).tiny
_LEAST_CONFUSION = 0.5


@dataclass(frozen=True, eq=False)
class Cells:
    """The E entries of a noise matrix with a count above zero.

    Attributes:
        true: `(E,)`, the true class (row) of each entry.
        given: `(E,)`, the given label (column).
        probability: `(E,)`, P(given | true).
        low, high: `(E,)`, the 95 % interval of `probability`.
        count: `(E,)`, the number of examples of that true class and given label, as a sum of probabilities.
        row_count: `(C,)`, the sums of `count` by true class.
        effective: `(C,)`, the number of observations on which the intervals of each true class are based.
    """

    true: Ints
    given: Ints
    probability: Floats
    low: Floats
    high: Floats
    count: Floats
    row_count: Floats
    effective: Floats

    def wrong_share_by_label(self) -> Floats:
        """The estimated share of wrong labels among the examples of each given label, `(C,)`."""
        classes, wrong = len(self.row_count), self.true != self.given
        total = np.bincount(self.given, self.count, minlength=classes)
        wrong_count = np.bincount(self.given[wrong], self.count[wrong], minlength=classes)
        share: Floats = wrong_count / np.maximum(total, _TINY)
        return share

    def wrong_share(self) -> tuple[float, float, float]:
        """The estimated share of wrong labels, and its 95 % interval."""
        total = max(float(self.row_count.sum()), _TINY)
        diagonal = self.true == self.given
        right = np.bincount(
            self.true[diagonal], self.count[diagonal], minlength=len(self.row_count)
        )
        wrong = np.clip(self.row_count - right, 0.0, None)
        # The rows are independent; each has the variance of a proportion under Jeffreys' prior.
        rate = (wrong / np.maximum(self.row_count, _TINY) * self.effective + _JEFFREYS) / (
            self.effective + 2 * _JEFFREYS
        )
        variance = rate * (1 - rate) / (self.effective + 2 * _JEFFREYS + 1)
        deviation = _NORMAL * float(np.sqrt(((self.row_count / total) ** 2 * variance).sum()))
        share = float(wrong.sum()) / total
        return share, max(0.0, share - deviation), min(1.0, share + deviation)

    def confusions(self, count: int) -> list[int]:
        """Positions of the entries off the diagonal with the largest counts, at most `count` of them."""
        wrong = np.flatnonzero((self.true != self.given) & (self.count >= _LEAST_CONFUSION))
        order = np.argsort(-self.count[wrong], kind="stable")[:count]
        chosen: list[int] = wrong[order].tolist()
        return chosen

    def how_to_read(
        self, names: Sequence[str], verified: int, *, rows: str = "verified rows"
    ) -> str:
        """The most frequent confusion in words, and how precise its share is.

        Args:
            names: the names of the classes.
            verified: the number of verified examples.
            rows: what they are called.
        """
        first = self.confusions(1)[0]
        share, low, high = (
            100 * float(values[first]) for values in (self.probability, self.low, self.high)
        )
        true, given = shown(names[self.true[first]]), shown(names[self.given[first]])
        meaning = f"about {share:.0f}% of the rows that are really {true} are labelled {given}"
        reading = f"How to read it: {meaning}."
        margin = f"±{max(share - low, high - share):.0f} points"
        if not verified:
            return f"{reading} No verified rows confirm this; the sampling error alone is {margin}."
        return (
            f"{reading} With {verified:,} {rows} this estimate is good to roughly {margin}; "
            "verify more to narrow it."
        )


@dataclass(frozen=True, eq=False, repr=False)
class NoiseMatrix(ShortRepr):
    """The estimated noise matrix; rows are true classes, columns are given labels.

    Attributes:
        probability: float64 `(C, C)`, P(given label | true class); rows sum to one.
        low, high: float64 `(C, C)`, its 95 % interval.
        count: float64 `(C, C)`, the number of examples, as a sum of probabilities.
        label_names: the names of the C classes; None if unknown.
    """

    probability: Floats
    low: Floats
    high: Floats
    count: Floats
    label_names: tuple[str, ...] | None = None


def noise_matrix(
    evidence: Evidence, clean: tuple[ArrayLike | None, ArrayLike] | None = None
) -> NoiseMatrix:
    """Estimate the noise matrix P(given label | true class) of the training labels.

    See `docs/audit.md` for the estimate and its intervals.

    Args:
        evidence: of N examples and C classes.
        clean: labels `(given, true)` of M clean examples, two integer arrays `(M,)` of values below C.
            `given` is None if the unverified labels of the clean examples are unknown. By default those of
            `evidence`.

    Returns:
        The four arrays `(C, C)`. A class without any example has a uniform row. With thousands of classes
        `gdw.audit.matrix.noise_cells` needs much less memory.

    Raises:
        DataError: the clean labels are not classes, or their lengths differ.

    Example:
        >>> import numpy as np
        >>> from gdw.audit import Evidence, noise_matrix
        >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]], dtype=np.float32)
        >>> given, ones = np.array([0, 0, 1]), np.ones(3, dtype=np.float32)
        >>> top = np.argsort(-p, axis=1)
        >>> evidence = Evidence(
        ...     num_classes=2, given=given, p_given=p[range(3), given], top_classes=top,
        ...     top_probabilities=np.take_along_axis(p, top, 1), weight_given=ones, weight_top=ones,
        ...     visits=np.ones(3, dtype=np.int32))
        >>> noise_matrix(evidence).probability.round(2)
        array([[0.92, 0.08],
               [0.5 , 0.5 ]])
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
    for name in ("probability", "low", "high", "count"):
        getattr(matrix, name)[cells.true, cells.given] = getattr(cells, name)
    return matrix


def noise_cells(
    evidence: Evidence, clean: tuple[ArrayLike | None, ArrayLike] | None = None
) -> Cells:
    """The noise matrix as a list of its entries above zero. The arguments are those of `noise_matrix`.

    Each training example counts for every class with its estimated probability. An interval is based on as
    many observations as the sum of the squared probabilities of the class: a certain example is one
    observation, an uncertain one is less. It is based on no more observations than the class has clean
    examples, because only clean examples show how accurate the probabilities are. Clean examples whose
    unverified label is known are observations themselves and are added to both.
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
    # A class without clean examples keeps its estimate, with an interval for zero observations.
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
    """The values of the sparse matrix `counts` at `rows` and `columns`."""
    entries, width = counts.tocoo(), counts.shape[1]
    keys = entries.row.astype(np.int64) * width + entries.col
    order = np.argsort(keys)
    wanted = rows.astype(np.int64) * width + columns
    place = order[np.searchsorted(keys, wanted, sorter=order).clip(max=len(keys) - 1)]
    values: Floats = np.where(keys[place] == wanted, entries.data[place], 0.0)
    return values


def _interval(hits: Floats, trials: Floats) -> tuple[Floats, Floats]:
    """The central 95 % interval of a binomial proportion under Jeffreys' prior (Brown et al., 2001)."""
    from scipy.special import betaincinv

    a, b = hits + _JEFFREYS, np.maximum(trials - hits, 0) + _JEFFREYS
    # Less than one observation does not prove that the confusion occurs at all.
    low = np.where(hits < 1, 0.0, betaincinv(a, b, _TAIL))
    return low, betaincinv(a, b, 1 - _TAIL)


def _soft_counts(evidence: Evidence) -> tuple[Any, Floats]:
    """Sparse counts `(C, C)` by true class and given label, and the sums of squared probabilities `(C,)`.

    The recorded classes of an example and its given label share a probability of one.
    """
    c, estimate = evidence.num_classes, true_class_probabilities(evidence)
    listed = (estimate.classes == evidence.given[:, None]).any(1)
    # The given label is counted apart where it is not among the recorded classes.
    rest = np.where(listed, 0.0, estimate.of_given)
    total = np.maximum(estimate.probabilities.sum(1) + rest, np.finfo(np.float32).tiny)
    counts, certain = _sparse(rest / total, evidence.given, evidence.given, c), np.zeros(c)
    certain += np.bincount(evidence.given, (rest / total) ** 2, minlength=c)
    for classes, p in zip(estimate.classes.T, estimate.probabilities.T, strict=True):
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


def _are_labels(array: Ints, classes: int) -> bool:
    if array.ndim != 1 or array.dtype.kind not in "iu":
        return False
    return not array.size or bool(0 <= array.min() <= array.max() < classes)


def _checked(
    clean: tuple[ArrayLike | None, ArrayLike] | None, classes: int
) -> tuple[Ints | None, Ints | None]:
    if clean is None:
        return None, None
    true = _labels(clean[1], classes)
    if clean[0] is None:
        return None, true
    given = _labels(clean[0], classes)
    if len(given) != len(true):
        raise DataError(f"clean: {len(given)} given labels, but {len(true)} true ones")
    return given, true


def _labels(values: ArrayLike, classes: int) -> Ints:
    labels = np.asarray(values)
    if not _are_labels(labels, classes):
        raise DataError(
            f"clean: expected labels (given, true), integers from 0 to {classes - 1} of shape (M,), "
            f"found {labels.dtype} of shape {labels.shape}"
        )
    return labels
