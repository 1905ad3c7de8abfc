"""Predictions of a run as a file: CSV, Parquet or JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.source import Source
from gdw.errors import ConfigError, nearest
from gdw.files.atomic import write_atomically
from gdw.files.formula import escaped

if TYPE_CHECKING:
    import pandas as pd

_SUFFIXES = (".csv", ".parquet", ".jsonl")


def check_output(path: Path) -> None:
    """Whether predictions can be written to `path`, before long work starts.

    Raises:
        ConfigError: a suffix that names no format, a missing folder, or a file that exists.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise ConfigError(
            f"{path} names no format to write: expected a name ending in {', '.join(_SUFFIXES)}."
            f"{nearest(path.suffix, _SUFFIXES)}"
        )
    if path.exists():
        raise ConfigError(f"{path} exists already: choose another name, or remove it first")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent}: make it, or choose another")


def as_frame(
    source: Source, probabilities: NDArray[np.float32], label_names: Sequence[str]
) -> pd.DataFrame:
    """One row an example: where it is, the predicted label, its probability, and that of each class.

    `probabilities` is `(N, C)`, float32, in the order of `source`.
    """
    import pandas as pd

    best = probabilities.argmax(1)
    columns: dict[str, Any] = {
        "example": [source.where(i) for i in range(len(source))],
        "prediction": [label_names[k] for k in best],
        "confidence": probabilities[np.arange(len(best)), best],
    }
    for k, name in enumerate(label_names):
        columns[f"p({name})"] = probabilities[:, k]
    frame: pd.DataFrame = pd.DataFrame(columns)
    return frame


def write_predictions(frame: pd.DataFrame, path: Path) -> None:
    """Write `frame` in the format that the suffix of `path` names, whole or not at all.

    In a CSV file cells that begin like a formula are escaped, see `gdw.files.formula`.
    """

    def write(temporary: Path) -> None:
        suffix = path.suffix.lower()
        if suffix == ".csv":
            safe = frame.assign(
                example=frame["example"].map(escaped), prediction=frame["prediction"].map(escaped)
            )
            safe.to_csv(temporary, index=False, float_format="%.6g")
        elif suffix == ".parquet":
            frame.to_parquet(temporary, index=False)
        else:
            frame.to_json(temporary, orient="records", lines=True, force_ascii=False)

    write_atomically(path, write)
