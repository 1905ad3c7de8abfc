"""Images, texts and arrays compared by what they show or say, and by the features of a pretrained network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.audit.data_problems import DataProblems, Duplicates, EncodedFeatures
from gdw.audit.data_rows import Parts
from gdw.audit.nearest import Features
from gdw.audit.outliers import outlier_scores
from gdw.audit.pictures import Pictures, pictures
from gdw.audit.spaces import (
    APART_AS_PICTURES,
    APART_BY_FEATURES,
    EQUAL,
    SAME_MEANING,
    SAME_NUMBERS,
    SAME_PICTURE,
    SAME_SUBJECT,
    SAME_WORDS,
    ArrayRows,
    Rule,
    Sparse,
    Standardised,
    near_duplicates,
    same_meaning,
    same_subject,
    text_rows,
)
from gdw.errors import GDWError

_FEWEST = 5


@dataclass(frozen=True, eq=False)
class _Space:
    """Rows of each part to compare, and what counts as a near-duplicate.

    Attributes:
        rows: the features of each part.
        rule: which pairs count.
        with_features: which pairs count in the features of a pretrained network.
        shows_outliers: whether an example without similar ones is unusual.
        image_problem: of each training image.
    """

    rows: Mapping[str, Features]
    rule: Rule
    with_features: Rule | None = None
    shows_outliers: bool = False
    image_problem: NDArray[np.str_] | None = None


def compared(
    parts: Parts, features: EncodedFeatures | None, notes: tuple[str, ...]
) -> DataProblems:
    """The problems of images, texts and arrays, see `gdw.audit.data_problems.data_problems`."""
    space, neighbours = _space_of(parts), None
    nothing = np.arange(0)
    found = [(nothing, nothing, nothing.astype(np.float32))]
    if space.rows:
        pairs, near = near_duplicates(parts, space.rows, space.rule)
        found += pairs
        neighbours = near if space.shows_outliers else None
    if features is not None and space.with_features is not None:
        try:
            encoded = {name: features(source) for name, source in parts.sources.items()}
        except GDWError as error:
            notes += (f"the features of the pretrained network were not used: {error}",)
        else:
            first = Standardised.fit(encoded[parts.names[0]])
            rows = {name: first.like(part) for name, part in encoded.items()}
            pairs, neighbours = near_duplicates(parts, rows, space.with_features)
            found += pairs
    scores = None if neighbours is None else outlier_scores(neighbours.similarity, _FEWEST)
    return DataProblems(Duplicates.of(parts, *found), scores, space.image_problem, notes)


def _space_of(parts: Parts) -> _Space:
    training = parts.sources[parts.names[0]]
    if training.kind == "text":
        return _of_texts(parts)
    if training.kind == "image" or training.array(np.arange(min(1, len(training)))).ndim > 2:
        return _of_pictures(parts)
    first = Standardised.fit(ArrayRows(training))
    rows = {name: first.like(ArrayRows(source)) for name, source in parts.sources.items()}
    return _Space(rows, Rule(SAME_NUMBERS, apart=APART_AS_PICTURES), shows_outliers=True)


def _of_texts(parts: Parts) -> _Space:
    texts = [text for part in parts.sources.values() for text in part.texts(np.arange(len(part)))]
    words = text_rows(texts)
    if words is None:
        return _Space({}, Rule(SAME_WORDS))
    rows = {name: Sparse(words[parts.members(name)]) for name in parts.names}
    return _Space(rows, Rule(SAME_WORDS), Rule(SAME_MEANING, same_meaning(words)))


def _of_pictures(parts: Parts) -> _Space:
    small: dict[str, Any] = {name: pictures(part) for name, part in parts.sources.items()}
    every = Pictures(
        np.concatenate([part.small for part in small.values()]),
        np.concatenate([part.levels for part in small.values()]),
        np.concatenate([part.sides for part in small.values()]),
    )
    problem = every.problems()[: parts.training]
    # Of few pixels, many are alike in two different images.
    least = EQUAL if every.are_coarse else SAME_PICTURE
    alike = Rule(least, apart=APART_AS_PICTURES)
    subject = Rule(SAME_SUBJECT, same_subject(every), apart=APART_BY_FEATURES)
    return _Space(small, alike, subject, image_problem=problem)
