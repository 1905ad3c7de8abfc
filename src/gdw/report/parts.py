"""Where the data of a plot come from: a run, a fitted classifier, or tables and arrays as they are."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from gdw.errors import ConfigError, DataError
from gdw.runs.new_data import as_frame
from gdw.runs.run import Run, load

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.base import ClassifierMixin

Source: TypeAlias = "str | os.PathLike[str] | Run | ClassifierMixin"
"""A run, the path of its folder, or a fitted classifier."""

# The attribute of a fitted classifier that holds a part of a run.
_ATTRIBUTES = {
    "history": "history_",
    "noise_matrix": "noise_matrix_",
    "class_weights": "class_weights_",
    "audit": "noise_matrix_",
}


def part_of(data: Any, part: str) -> Any:
    """The `part` of a run or of a fitted classifier; a table becomes a data frame of pandas; other
    `data` are returned as they are.

    Raises:
        RunError: the run does not have that part.
        ConfigError: the classifier is not one of gdw, or does not have that part.
        NotFittedError: the classifier is not fitted.
    """
    if isinstance(data, (str, os.PathLike)):
        return load(data).require(part)
    if is_classifier(data):
        return _fitted_part(data, part)
    frame = as_frame(data)
    return data if frame is None else frame


def found(data: Any) -> str:
    """What `data` are, for messages: their type, and their shape if they have one."""
    if data is None:
        return "None"
    shape = getattr(data, "shape", None)
    return f"{type(data).__name__}{f' of shape {shape}' if isinstance(shape, tuple) else ''}"


def with_names(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The data frame with class names in `columns`.

    `pandas.read_csv` reads the name NA as a missing value; it is a name again.
    """
    names = {name: frame[name].astype(object).where(frame[name].notna(), "NA") for name in columns}
    named: pd.DataFrame = frame.assign(**{name: texts.map(str) for name, texts in names.items()})
    return named


def records_of(data: Any, names: Collection[str]) -> Sequence[Mapping[str, Any]] | None:
    """A data frame, or a sequence of records, as records that all have `names`; None if it is not one."""
    if hasattr(data, "to_dict"):
        data = data.to_dict("records")
    if not isinstance(data, Sequence) or isinstance(data, (str, bytes)):
        return None
    is_record = (isinstance(one, Mapping) and one.keys() >= set(names) for one in data)
    return data if all(is_record) else None


def is_classifier(data: Any) -> bool:
    """Whether `data` is an estimator of scikit-learn."""
    return hasattr(data, "get_params") and hasattr(data, "fit")


def _fitted_part(data: Any, part: str) -> Any:
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(data)
    estimator = _innermost(data)
    name = _ATTRIBUTES.get(part)
    if name is None:
        raise ConfigError("a classifier keeps no test data: give them too, plot(classifier, X, y)")
    if not hasattr(estimator, name):
        raise ConfigError(
            f"expected a fitted gdw.GDWClassifier, found {type(estimator).__name__} without {name}"
        )
    value = getattr(estimator, name)
    if value is None:
        raise ConfigError(f"{name} of this classifier is None: it has more than 512 classes")
    return {"by_class": _by_class(estimator)} if part == "audit" else value


def _innermost(estimator: Any) -> Any:
    """The classifier inside a search or a pipeline."""
    if hasattr(estimator, "best_estimator_"):
        return _innermost(estimator.best_estimator_)
    return _innermost(estimator.steps[-1][1]) if hasattr(estimator, "steps") else estimator


def _by_class(estimator: Any) -> list[dict[str, Any]]:
    """What `by_class` of `audit.json` holds: for each given label the estimated share of wrong ones."""
    import pandas as pd

    count = estimator.noise_matrix_.count
    total = count.sum(0)
    right = np.divide(np.diag(count), total, out=np.ones(len(total)), where=total > 0)
    examples = estimator.label_issues_["given_label"].value_counts()
    return [
        {"label": str(label), "examples": int(examples.get(label, 0)), "wrong_share": float(share)}
        for label, share in zip(pd.Series(estimator.classes_), 1 - right, strict=True)
    ]


def answers(data: Any, X: Any, y: ArrayLike | None) -> tuple[np.ndarray[Any, Any], ...]:
    """Predicted probabilities float32 `(N, C)`, and the classes int64 `(N,)`, -1 for an unknown one.

    Args:
        data: a fitted classifier, or the probabilities.
        X: what the classifier predicts; None with probabilities.
        y: the labels. With probabilities their sorted values are the classes.

    Raises:
        ConfigError: `X` or `y` is missing.
        DataError: the numbers of rows or classes differ.
    """
    predicts = is_classifier(data)
    if y is None or predicts != (X is not None):
        call = "classifier, X, y) with labelled data" if predicts else "probabilities, y=labels)"
        raise ConfigError(f"expected plot_reliability({call}")
    labels = np.asarray(y)
    if predicts:
        found, classes = data.predict_proba(X), np.asarray(data.classes_)
    else:
        found, classes = data, np.unique(labels)
    probabilities = np.asarray(found, dtype=np.float32)
    if probabilities.shape != (len(labels), len(classes)) or labels.ndim != 1:
        raise DataError(
            f"expected probabilities of shape (N, C) for the N labels and C classes in y, "
            f"({labels.size}, {len(classes)}), found {probabilities.shape}"
        )
    place = {label: k for k, label in enumerate(classes.tolist())}
    codes = np.array([place.get(label, -1) for label in labels.tolist()], dtype=np.int64)
    return probabilities, codes
