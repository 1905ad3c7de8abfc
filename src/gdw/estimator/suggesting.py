"""`gdw.suggest`: which rows of data in memory to verify first."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdw.estimator.classifier import GDWClassifier
from gdw.estimator.encoding import encode
from gdw.estimator.fitting import DataNoteWarning
from gdw.estimator.parameters import wanted_backbone
from gdw.suggestion.left_out import first_look
from gdw.suggestion.strategies import chosen, require_options


def suggest(
    X: Any,
    y: ArrayLike,
    *,
    n: int = 200,
    strategy: str = "mixed",
    trusted: ArrayLike | None = None,
    backbone: Any = "auto",
    merge_labels: bool = False,
    random_state: int = 0,
) -> NDArray[np.int64]:
    """Suggest the rows whose labels a person should verify first, before anything is trained.

    Quick models judge each label without having seen it. This takes seconds.

    >>> import gdw
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> rows = gdw.suggest(X, y, n=12, strategy="balanced")
    >>> np.bincount(y[rows])
    array([4, 4, 4])

    Args:
        X: N rows, as for `gdw.GDWClassifier.fit`.
        y: `(N,)`, their labels, some of which may be wrong.
        n: the number of rows. If there are fewer, all of them.
        strategy: `"random"`: all rows are equally likely. `"balanced"`: equally many of each likely class,
            drawn within it. `"doubtful"`: the labels in most doubt first. `"mixed"`: half of them balanced,
            and the labels in most doubt of each likely class.
        trusted: `(N,)`, true for rows that are verified already. They are counted, and not suggested.
        backbone, merge_labels: as for `gdw.GDWClassifier`.
        random_state: seeds the draw.

    Returns:
        Row numbers, int64 `(n,)`, in the order in which to verify, which is balanced too.

    Raises:
        ValueError: the data, labels or options cannot be used (`DataError`, `ConfigError`).
    """
    require_options(n, strategy, random_state)
    estimator = GDWClassifier(backbone=backbone, merge_labels=merge_labels)
    wanted = wanted_backbone(estimator)
    data = encode(estimator, X, y, wanted=wanted, sample_weight=None, meta=None, trusted=trusted)
    for note in data.notes:
        warnings.warn(note, DataNoteWarning, stacklevel=2)
    codes, classes = data.examples.targets.numpy(), len(data.classes)
    _, opinions = first_look(data.examples.inputs, codes, classes, seed=random_state)
    taken = np.zeros(len(codes), dtype=bool) if data.trusted is None else data.trusted
    counted = np.bincount(codes[taken], minlength=classes)
    choice = chosen(opinions, n, strategy, taken=taken, counted=counted, seed=random_state)
    return data.rows[choice.positions]
