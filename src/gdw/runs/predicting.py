"""Predictions of a run for new data, as an array, a table or a file."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.source import Source
from gdw.data.text_files import escaped
from gdw.files.documents import write_atomically
from gdw.runs.kept_columns import KeptColumns, keep_columns
from gdw.runs.new_data import NewData, source_of
from gdw.runs.run import Run, load
from gdw.runs.schema import as_type

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet", ".jsonl")
"""The formats of `write_predictions`."""

_CODE = re.compile(r'(?<=[{,])"prediction":(\d+)(?=[,}])')


def predict_proba(
    run: Run | str | os.PathLike[str], data: NewData, *, batch_size: int = 512
) -> NDArray[np.float32]:
    """Predict class probabilities.

    Args:
        run: a finished run, or its folder.
        data: N examples in the form of the training data, as `predict` takes them.
        batch_size: examples per batch.

    Returns:
        float32 `(N, C)`, in the order of `data`; columns in the order of `Run.label_names`. An image that was
        left out, because the run leaves out those that cannot be read, has no row.

    Raises:
        RunError: the run has not finished, or is damaged.
        DataError: `data` have another form than the training data.
    """
    import torch

    from gdw.train.evaluation import predict_probabilities

    run = load(run)
    source = source_of(run, data)
    batches = predict_probabilities(run.model, run.encode(source), batch_size=batch_size)
    probabilities: NDArray[np.float32] = torch.cat([p for _, p in batches]).numpy()
    return probabilities


def predict(
    run: Run | str | os.PathLike[str], data: NewData, *, keep: Sequence[str] | None = None
) -> pd.DataFrame:
    """Predict labels and class probabilities.

    Args:
        run: a finished run, or its folder.
        data: N examples in the form of the training data; labels are not needed. A file or folder, a data
            frame of pandas, Polars or Arrow, what `Run.read` gives, or an array if the run learned from one.
        keep: the columns of `data` to repeat beside the predictions, see `kept`.

    Returns:
        A data frame of a row for each example, and one without a prediction for each image that was left out
        because it cannot be read (`Source.skipped`), in the order of the file: `row` (the number of the row
        in the file, from 0), for a folder `path` (of the image in it), the kept columns, `prediction` (the
        most probable class), `confidence` (its probability), and `p(NAME)` for each class. The
        index is that of a data frame of pandas.

    Raises:
        RunError: the run has not finished, or is damaged.
        DataError: `data` have another form than the training data, or no column of a name in `keep`.

    Example:
        >>> gdw.runs.predict("runs/table", "new.csv")  # doctest: +SKIP
    """
    import pandas as pd

    run = load(run)
    source = source_of(run, data)
    own = kept(run, source, keep)
    frame = predictions(run, source)
    for place, name in enumerate(own.table.column_names, _own_start(frame)):
        frame.insert(place, name, own.table[name].to_pandas(integer_object_nulls=True))
    return frame.set_axis(data.index) if isinstance(data, pd.DataFrame) else frame


def predictions(run: Run, source: Source) -> pd.DataFrame:
    """The table of `predict` without columns of the user."""
    import pandas as pd

    every = _with_skipped(source)
    is_read = np.isin(every.row_numbers, source.row_numbers)
    probabilities = np.full((len(every), len(run.label_names)), np.nan, dtype=np.float32)
    probabilities[is_read] = predict_proba(run, source)
    best = np.where(is_read, probabilities.argmax(1), -1)
    columns: dict[str, Any] = {"row": every.row_numbers}
    if source.rows.kind == "image":
        columns["path"] = source.rows.arrow(source.feature_columns[0], every.row_numbers)
    columns["prediction"] = [run.label_names[k] if k >= 0 else None for k in best]
    columns["confidence"] = probabilities[np.arange(len(best)), best]
    for name, values in zip(run.label_names, probabilities.T, strict=True):
        columns[f"p({name})"] = values
    frame: pd.DataFrame = pd.DataFrame(columns)
    return frame


def kept(run: Run, source: Source, keep: Sequence[str] | None = None) -> KeptColumns:
    """The columns of `source` that are repeated beside the predictions, see `keep_columns`.

    By default these are the columns that are named like a key or a row number, and those that training left
    out as keys.
    """
    names = ("row", "path", "prediction", "confidence", *(f"p({n})" for n in run.label_names))
    return keep_columns(_with_skipped(source), keep, keys=run.schema.keys, taken=names)


def _with_skipped(source: Source) -> Source:
    """`source`, and the images that were left out because they cannot be read, in the order of the file."""
    if not source.skipped:
        return source
    skipped = [row for row, _ in source.skipped]
    numbers = np.sort(np.concatenate((source.row_numbers, skipped)))
    return replace(source, row_numbers=numbers, labels=None, skipped=())


def write_predictions(
    frame: pd.DataFrame,
    path: Path,
    *,
    label_type: str = "string",
    own: KeptColumns | None = None,
) -> None:
    """Write the table of `predictions` in the format of the suffix of `path`, whole or not at all.

    The columns of the user have the values and types of the user's file. In a CSV file, labels are written as
    in the training data, and cells that look like formulas are escaped, see `gdw.data.text_files`. In other
    files labels have the type `label_type`, as `gdw.runs.schema.Schema` has it; in `.jsonl` files, where JSON
    has it.
    """

    def write(temporary: Path) -> None:
        suffix = path.suffix.lower()
        if suffix == ".csv":
            _csv_table(frame, own).to_csv(temporary, index=False, float_format="%.6g")
        elif suffix == ".parquet":
            _write_parquet(frame, temporary, label_type, own)
        else:
            text = _json_lines(frame, label_type, own)
            temporary.write_text(text, encoding="utf-8", newline="\n")

    write_atomically(path, write)


def _own_start(frame: pd.DataFrame) -> int:
    """The position of the first column of the user: after the row and the path."""
    return list(frame.columns).index("prediction")


def _csv_table(frame: pd.DataFrame, own: KeptColumns | None) -> pd.DataFrame:
    texts = frame[[name for name in ("path", "prediction") if name in frame]]
    safe: pd.DataFrame = frame.assign(
        **{name: texts[name].map(escaped, na_action="ignore") for name in texts}
    )
    for place, (name, cells) in enumerate(
        (own.as_cells() if own else {}).items(), _own_start(frame)
    ):
        safe.insert(place, name, cells)
    return safe


def _write_parquet(
    frame: pd.DataFrame, path: Path, label_type: str, own: KeptColumns | None
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names, codes = _labels(frame)
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()
    typed = as_type(names, label_type)
    if typed is not None:
        number = table.schema.get_field_index("prediction")
        table = table.set_column(
            number, "prediction", typed.take(pa.array(codes, mask=codes == len(names)))
        )
    columns = zip(own.table.column_names, own.table.columns, strict=True) if own else ()
    for place, (name, column) in enumerate(columns, _own_start(frame)):
        table = table.add_column(place, name, column)
    pq.write_table(table, path)


def _json_lines(frame: pd.DataFrame, label_type: str, own: KeptColumns | None) -> str:
    """The table with each label as JSON has it. Pandas would round numbers, and refuse large ones."""
    names, codes = _labels(frame)
    typed = as_type(names, label_type)
    values = names if typed is None else [*map(_json_value, typed.to_pylist(), names)]
    if len(set(map(type, values))) > 1:
        values = names
    texts = [*(json.dumps(value, ensure_ascii=False) for value in values), "null"]
    lines: str = frame.assign(prediction=codes).to_json(
        None, orient="records", lines=True, force_ascii=False
    )
    members = iter(own.as_json() if own else ())
    # The label is written over its code, and the members of the user come before it.
    return _CODE.sub(lambda code: f'{next(members, "")}"prediction":{texts[int(code[1])]}', lines)


def _labels(frame: pd.DataFrame) -> tuple[list[str], NDArray[np.int64]]:
    """The L labels that are predicted, and the code of each prediction, int64 `(N,)`; L if there is none."""
    predicted = frame["prediction"].to_numpy(dtype=object)
    known = frame["prediction"].notna().to_numpy()
    names, known_codes = np.unique(predicted[known], return_inverse=True)
    codes = np.full(len(frame), len(names), dtype=np.int64)
    codes[known] = known_codes
    return names.tolist(), codes


def _json_value(value: Any, name: str) -> Any:
    """A label as a number or a boolean of JSON where it is one without loss, otherwise its name."""
    if isinstance(value, Decimal):
        number = float(value) if "." in name else int(value)
        return number if Decimal(repr(number)) == value else name
    if isinstance(value, float):
        return float(name) if math.isfinite(value) else name
    return value if isinstance(value, int) else name
