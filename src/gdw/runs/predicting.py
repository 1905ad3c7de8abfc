"""Predictions of a run for new data, as an array, a table or a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from gdw.data.source import Source
from gdw.files.documents import write_atomically
from gdw.files.formula import escaped
from gdw.runs.run import Run
from gdw.train.evaluation import predict_probabilities

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet", ".jsonl")
"""The formats of `write_predictions`."""

_IN_JSON = frozenset(
    (
        "bool",
        "float",
        "double",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
    )
)


def predict_proba(run: Run, source: Source, *, batch_size: int = 512) -> NDArray[np.float32]:
    """Predict class probabilities.

    Args:
        run: a finished run.
        source: N examples, from `Run.read`.
        batch_size: examples per batch.

    Returns:
        float32 `(N, C)`, in the order of `source`; columns in the order of `run.label_names`.

    Raises:
        RunError: the run has not finished, or is damaged.
    """
    batches = predict_probabilities(run.model, run.encode(source), batch_size=batch_size)
    probabilities: NDArray[np.float32] = torch.cat([p for _, p in batches]).numpy()
    return probabilities


def predict(run: Run, source: Source) -> pd.DataFrame:
    """Predict labels and class probabilities.

    Args:
        run: a finished run.
        source: N examples, from `Run.read`.

    Returns:
        A data frame of N rows: `example` (its place in words), `prediction` (the most probable class),
        `confidence` (its probability), and `p(NAME)` for each class.

    Raises:
        RunError: the run has not finished, or is damaged.
    """
    import pandas as pd

    probabilities = predict_proba(run, source)
    best = probabilities.argmax(1)
    columns: dict[str, Any] = {
        "example": [source.where(i) for i in range(len(source))],
        "prediction": [run.label_names[k] for k in best],
        "confidence": probabilities[np.arange(len(best)), best],
    }
    for k, name in enumerate(run.label_names):
        columns[f"p({name})"] = probabilities[:, k]
    frame: pd.DataFrame = pd.DataFrame(columns)
    return frame


def write_predictions(frame: pd.DataFrame, path: Path, *, label_type: str = "string") -> None:
    """Write the table of `predict` in the format of the suffix of `path`, whole or not at all.

    In a CSV file, labels are written as in the training data, and cells that look like formulas are escaped,
    see `gdw.files.formula`. In other files labels have the type `label_type`, as `gdw.runs.schema.Schema`
    has it; in `.jsonl` files, where JSON has it.
    """

    def write(temporary: Path) -> None:
        suffix = path.suffix.lower()
        if suffix == ".csv":
            safe = frame.assign(
                example=frame["example"].map(escaped), prediction=frame["prediction"].map(escaped)
            )
            safe.to_csv(temporary, index=False, float_format="%.6g")
        elif suffix == ".parquet":
            _with_typed_labels(frame, label_type).to_parquet(temporary, index=False)
        else:
            typed = _with_typed_labels(frame, label_type if label_type in _IN_JSON else "string")
            typed.to_json(temporary, orient="records", lines=True, force_ascii=False)

    write_atomically(path, write)


def _with_typed_labels(frame: pd.DataFrame, label_type: str) -> pd.DataFrame:
    from gdw.data.labels import as_type

    names, codes = np.unique(frame["prediction"].to_numpy(dtype=object), return_inverse=True)
    typed = None if label_type == "string" else as_type(names.tolist(), label_type)
    return frame if typed is None else frame.assign(prediction=typed.to_pandas().to_numpy()[codes])
