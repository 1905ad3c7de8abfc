"""Predictions of a run for new data, as an array, a table or a file."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from gdw.data.source import Source
from gdw.files.documents import write_atomically
from gdw.files.formula import escaped
from gdw.runs.run import Run
from gdw.runs.schema import as_type
from gdw.train.evaluation import predict_probabilities

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet", ".jsonl")
"""The formats of `write_predictions`."""

_CODE = re.compile(r'(?<="prediction":)\d+')


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
            _write_parquet(frame, temporary, label_type)
        else:
            temporary.write_text(_json_lines(frame, label_type), encoding="utf-8", newline="\n")

    write_atomically(path, write)


def _write_parquet(frame: pd.DataFrame, path: Path, label_type: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names, codes = _labels(frame)
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    typed = as_type(names, label_type)
    if typed is not None:
        number = table.schema.get_field_index("prediction")
        table = table.set_column(number, "prediction", typed.take(pa.array(codes)))
    pq.write_table(table, path)


def _json_lines(frame: pd.DataFrame, label_type: str) -> str:
    """The table with each label as JSON has it. Pandas would round numbers, and refuse large ones."""
    names, codes = _labels(frame)
    typed = as_type(names, label_type)
    values = names if typed is None else [*map(_json_value, typed.to_pylist(), names)]
    if len(set(map(type, values))) > 1:
        values = names
    texts = [json.dumps(value, ensure_ascii=False) for value in values]
    lines: str = frame.assign(prediction=codes).to_json(
        None, orient="records", lines=True, force_ascii=False
    )
    return _CODE.sub(lambda code: texts[int(code[0])], lines)


def _labels(frame: pd.DataFrame) -> tuple[list[str], NDArray[np.int64]]:
    """The L labels that are predicted, and the code of each prediction, int64 `(N,)`."""
    names, codes = np.unique(frame["prediction"].to_numpy(dtype=object), return_inverse=True)
    return names.tolist(), codes


def _json_value(value: Any, name: str) -> Any:
    """A label as a number or a boolean of JSON where it is one without loss, otherwise its name."""
    if isinstance(value, Decimal):
        number = float(value) if "." in name else int(value)
        return number if Decimal(repr(number)) == value else name
    if isinstance(value, float):
        return float(name) if math.isfinite(value) else name
    return value if isinstance(value, int) else name
