"""The spaces in which images, texts and arrays are compared, and when two of them are near-duplicates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.audit.data_rows import Pairs, Parts
from gdw.audit.nearest import Features, Index, Neighbours, row_products, unit
from gdw.audit.pictures import SIDE, Pictures
from gdw.data.source import Source, chunks

Judge = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]], NDArray[np.float32]]
"""From pairs of examples and their similarity to the similarity that counts."""

SAME_PICTURE, SAME_WORDS, SAME_NUMBERS = 0.98, 0.9, 0.99
SAME_SUBJECT, SAME_MEANING = 0.8, 0.85
"""From these similarities on two examples are near-duplicates, see docs/audit.md."""

APART_AS_PICTURES, APART_BY_FEATURES = 0.25, 0.5
"""See `Rule.apart`."""

EQUAL = 0.998
"""From this similarity on two pictures are equal but for rounding."""

_MARGIN = 2
_AT_ONCE = 4_096
_LEAST_CONTRAST = 4.0


@dataclass(frozen=True, eq=False)
class Standardised:
    """Dense rows with the mean 0 and the standard deviation 1 of the training rows in each column.

    Without it the angle between any two rows may be small, because the rows have much in common.

    Attributes:
        rows: N rows as they are.
        mean, scale: float32 `(F,)`, of the training rows; infinite where a column hardly varies.
    """

    rows: Features
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def fit(cls, training: Features) -> Standardised:
        """The training rows, by their own mean and standard deviation."""
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler()
        for block in chunks(len(training), _AT_ONCE):
            scaler.partial_fit(np.asarray(training[block], dtype=np.float64))
        mean, spread = scaler.mean_, np.sqrt(scaler.var_)
        # A column that hardly varies says nothing, but its rounding errors would.
        scale = np.where(spread > 1e-6 * np.maximum(1, np.abs(mean)), spread, np.inf)
        return cls(training, mean.astype(np.float32), scale.astype(np.float32))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[np.float32]:
        values = np.asarray(self.rows[indices], dtype=np.float32)
        return (values - self.mean) / self.scale

    def like(self, rows: Features) -> Standardised:
        """Other rows, with the mean and the standard deviation of these training rows."""
        return replace(self, rows=rows)


class ArrayRows:
    """The rows of an array `(N, ...)` of numbers as features."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, indices: NDArray[np.int64], /) -> NDArray[np.float32]:
        values = self._source.array(indices).reshape(len(indices), -1)
        return np.nan_to_num(values.astype(np.float32))


def text_rows(texts: Sequence[str]) -> Any:
    """TF-IDF rows `(M, F)` of words and pairs of words, of runs of characters if most texts have no spaces.

    Case, punctuation and white space do not count. None if there are no words at all.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    by_character = 2 * sum(len(text.split()) > 1 for text in texts) < len(texts)
    options: dict[str, Any] = {"token_pattern": r"(?u)\w+", "ngram_range": (1, 2)}
    if by_character:
        options = {"analyzer": "char", "ngram_range": (1, 3)}
    vectorizer = TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **options)
    try:
        return vectorizer.fit_transform(texts)
    except ValueError:
        return None


class Sparse:
    """Some rows of a sparse matrix."""

    def __init__(self, matrix: Any) -> None:
        self._matrix = matrix

    def __len__(self) -> int:
        return int(self._matrix.shape[0])

    def __getitem__(self, indices: NDArray[np.int64], /) -> Any:
        return self._matrix[indices]


@dataclass(frozen=True)
class Rule:
    """When two examples are near-duplicates.

    Attributes:
        threshold: from this similarity on a pair counts.
        judge: the similarity of a pair; by default the cosine.
        apart: the pair must also be closer than this share of the distance from either of its examples to
            its tenth neighbour, where the distance is 1 minus the cosine; None: it need not. Many pictures of
            trousers on white are alike without being copies; a copy is much nearer than all others. Pairs
            that are equal but for rounding always count.
    """

    threshold: float
    judge: Judge | None = None
    apart: float | None = None

    def pairs(
        self,
        one: NDArray[np.int64],
        other: NDArray[np.int64],
        near: Neighbours,
        farthest: NDArray[np.float32] | None,
    ) -> Pairs:
        """The pairs that count.

        Args:
            one: `(Q,)`, the example of each query.
            other: `(N,)`, the example of each base row.
            near: the neighbours of the queries among the base rows.
            farthest: `(N,)`, the distance of each base row to its last neighbour; None if it is not known.
        """
        least = self.threshold if self.judge is None else 2 * self.threshold - 1
        query, column = np.nonzero((near.index >= 0) & (near.similarity >= least))
        base, similarity = near.index[query, column], near.similarity[query, column]
        if self.apart is not None:
            reach = 1 - near.similarity[query, -1]
            if farthest is not None:
                reach = np.minimum(reach, farthest[base])
            counts = (1 - similarity <= self.apart * reach) | (similarity >= EQUAL)
            query, base, similarity = query[counts], base[counts], similarity[counts]
        if self.judge is not None:
            similarity = self.judge(one[query], other[base], similarity)
        counts = similarity >= self.threshold
        return one[query[counts]], other[base[counts]], similarity[counts]


def near_duplicates(
    parts: Parts, rows: Mapping[str, Features], rule: Rule
) -> tuple[list[Pairs], Neighbours]:
    """Pairs of near-duplicates in which at least one is a training example or the parts differ.

    Args:
        parts: the examples.
        rows: the features of each part.
        rule: which pairs count.

    Returns:
        Pairs, some of them twice, and the nearest training examples of each training example.
    """
    first, *others = parts.names
    index = Index(rows[first])
    own = index.search()
    farthest, training = 1 - own.similarity[:, -1], parts.members(first)
    found = [rule.pairs(training, training, own, farthest)]
    for number, name in enumerate(others):
        members = parts.members(name)
        found.append(rule.pairs(members, training, index.search(rows[name]), farthest))
        for earlier in others[:number]:
            across = Index(rows[earlier]).search(rows[name])
            found.append(rule.pairs(members, parts.members(earlier), across, None))
    return found, own


def same_meaning(words: Any) -> Judge:
    """The mean of the cosine of the features and of that of the TF-IDF rows `words` `(M, F)`.

    A sentence encoder gives similar features to two texts that ask the same in different words, and two texts
    with nearly the same words may differ in the one that counts; copies are alike in both.
    """

    def judge(
        one: NDArray[np.int64], other: NDArray[np.int64], cosine: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        return np.asarray(
            (cosine + row_products(unit(words[one]), unit(words[other]))) / 2, dtype=np.float32
        )

    return judge


def same_subject(pictures: Pictures) -> Judge:
    """The mean of the cosine of the features and of how well the pictures match when laid on each other.

    A pretrained network sees the same subject in two different photographs, and two pictures with the same
    light and dark places may show different things; copies are alike in both. Pictures match by the largest
    correlation of the inner 12 × 12 of 16 × 16 pixels of one with any such part of the other or of its
    mirror image, so that cropped and mirrored copies are found too.
    """

    def judge(
        one: NDArray[np.int64], other: NDArray[np.int64], cosine: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        match = np.empty(len(one), dtype=np.float32)
        for block in chunks(len(one), _AT_ONCE):
            match[block] = _match(_squares(pictures, one[block]), _squares(pictures, other[block]))
        return np.asarray((cosine + match) / 2, dtype=np.float32)

    return judge


def _squares(pictures: Pictures, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    return pictures.small[chosen].reshape(-1, SIDE, SIDE).astype(np.float32)


def _match(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    inner = SIDE - 2 * _MARGIN
    centre = _normal(a[:, _MARGIN : _MARGIN + inner, _MARGIN : _MARGIN + inner])
    best = np.zeros(len(a), dtype=np.float32)
    for mirrored in (b, b[:, :, ::-1]):
        for top in range(2 * _MARGIN + 1):
            for left in range(2 * _MARGIN + 1):
                window = _normal(mirrored[:, top : top + inner, left : left + inner])
                best = np.maximum(best, np.einsum("bf,bf->b", centre, window))
    return best


def _normal(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pixels `(B, ...)` as rows with mean 0 and length 1; shorter if they have hardly any contrast."""
    flat = windows.reshape(len(windows), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    least = _LEAST_CONTRAST * flat.shape[1] ** 0.5
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), least))
