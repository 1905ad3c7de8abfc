"""Containers of data and labels: from those of other libraries to arrays, pandas, tensors and lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdw.errors import DataError, listed, one_line


def unwrapped(values: Any, name: str) -> Any:
    """The same values in a container that the estimator reads.

    Arrow tables, Polars frames, data sets of Hugging Face, mappings of columns and lists of records become
    data frames; their columns become series. Other sequences become lists, and lists of tensors become
    tensors. Everything else is returned as it is.

    Args:
        values: the container.
        name: what it is called in messages: "X", "y", ...

    Raises:
        DataError: it is a collection of data sets, or its columns differ in length.
    """
    if isinstance(values, np.ma.MaskedArray):
        values = _without_mask(values)
    if is_array(values) or hasattr(values, "iloc"):
        return _without_nesting(values)
    if is_pandas(values):
        return _series(values)
    if hasattr(values, "with_format"):
        values = _table_of_dataset(values, name)
    if _is_arrow(values):
        return _without_nesting(_from_arrow(values, name))
    if isinstance(values, Mapping):
        return _frame_of_columns(values, name)
    if isinstance(values, Sequence) and not isinstance(values, (str, bytes)):
        return _unwrapped_list(list(values))
    if not hasattr(values, "__array__"):
        raise DataError(f"{name}: {_advice(values)}")
    return values


def _without_mask(values: np.ma.MaskedArray[Any, Any]) -> Any:
    """An array in which what was masked is missing: NaN among numbers with columns, else None."""
    mask, data = np.ma.getmaskarray(values), values.data
    if not mask.any():
        return data
    if values.ndim > 1 and values.dtype.kind in "iuf":
        return np.where(mask, np.nan, data)
    holes = data.astype(object)
    holes[mask] = None
    return holes


def _without_nesting(values: Any) -> Any:
    """An array with named fields as a data frame, and a series of lists or arrays as a list of them."""
    if getattr(getattr(values, "dtype", None), "names", None):
        import pandas as pd

        return pd.DataFrame.from_records(values)
    if getattr(values, "ndim", 2) != 1 or values.dtype != object or not len(values):
        return values
    first = values.iloc[0] if hasattr(values, "iloc") else values[0]
    return list(values) if isinstance(first, (list, np.ndarray)) else values


def is_array(values: Any) -> bool:
    """Whether `values` is an array, a tensor or a sparse matrix (some of these are mappings too)."""
    return isinstance(values, (np.ndarray, Tensor)) or hasattr(values, "tocsr")


def _advice(values: Any) -> str:
    found = type(values).__name__
    if hasattr(values, "collect_schema"):
        return f"expected a data frame, found a plan to make one ({found}): give the result of .collect()"
    return f"expected an array, a data frame or a list, found {found}"


def is_pandas(values: Any) -> bool:
    """Whether `values` is a data frame, a series, an index or an array of pandas."""
    return type(values).__module__.partition(".")[0] == "pandas"


def is_frame(values: Any) -> bool:
    """Whether `values` is a data frame."""
    return hasattr(values, "iloc") and hasattr(values, "columns")


def is_encoded_picture(value: Any) -> bool:
    """Whether `value` is an image as `datasets` stores it, a mapping with "bytes" and "path"."""
    return isinstance(value, Mapping) and {"bytes", "path"} == set(value)


def require_order_of(X: Any, values: Any, name: str) -> None:
    """Refuse `values` of pandas, one for each row of `X`, if they have the index of `X` in another order.

    Rows belong together by position. Indexes that have nothing in common say nothing about the order.

    Raises:
        DataError: the indexes have the same labels in different orders.
    """
    first, second = (getattr(v, "index", None) if hasattr(v, "iloc") else None for v in (X, values))
    if first is None or second is None or len(first) != len(second) or first.equals(second):
        return
    if first.is_unique and second.is_unique and bool(second.isin(first).all()):
        given = name.rpartition(" ")[2]
        raise DataError(
            f"{name} has the index of X in another order: give {given}.loc[X.index], or {given}.to_numpy() "
            "if its rows are in the order of X"
        )


def _series(values: Any) -> Any:
    """An index or array of pandas as a series."""
    import pandas as pd

    if isinstance(values, pd.MultiIndex):
        return values.to_frame(index=False)
    return pd.Series(values).reset_index(drop=True)


def _is_arrow(values: Any) -> bool:
    return hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__")


def _table_of_dataset(dataset: Any, name: str) -> Any:
    """The Arrow table of a `datasets.Dataset`."""
    if isinstance(dataset, Mapping):
        first = next(iter(dataset), "train")
        raise DataError(
            f"{name}: expected one data set, found several, {listed(dataset)}: give one of them, "
            f"such as {name}[{first!r}]"
        )
    if not hasattr(dataset, "__len__"):
        raise DataError(
            f"{name}: expected a data set of known length, found a stream ({type(dataset).__name__}): "
            "load it without streaming=True"
        )
    return dataset.with_format("arrow")[:]


def _from_arrow(values: Any, name: str) -> Any:
    import pyarrow as pa

    try:
        if hasattr(values, "column_names") or hasattr(values, "columns"):
            table = pa.table(values)
            plain = [pa.field(field.name, _plain(field.type)) for field in table.schema]
            return table.cast(pa.schema(plain)).to_pandas()
        column = pa.chunked_array(values if hasattr(values, "__arrow_c_stream__") else [values])
        return column.cast(_plain(column.type)).to_pandas()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise DataError(
            f"{name}: a column has a type that cannot be read ({one_line(error)}): make it numbers or text"
        ) from error


def _plain(kind: Any) -> Any:
    """The Arrow type that pandas has in place of `kind`: no views of texts, no dictionaries of them."""
    import pyarrow as pa

    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_dictionary(kind):
        return pa.dictionary(pa.int32(), _plain(kind.value_type))
    return kind


def _frame_of_columns(columns: Mapping[Any, Any], name: str) -> Any:
    import pandas as pd

    plain = {key: _column(unwrapped(column, name)) for key, column in columns.items()}
    lengths = {len(column): key for key, column in plain.items()}
    if len(lengths) > 1:
        (few, first), (more, second), *_ = sorted(lengths.items())
        raise DataError(
            f"{name}: expected columns of one length, found {few} values in {first!r}, {more} in {second!r}"
        )
    return pd.DataFrame(plain)


def _column(values: Any) -> Any:
    """A column for a data frame. The index of a series would move its rows."""
    if isinstance(values, Tensor):
        values = as_array(values)
    if getattr(values, "ndim", 1) > 1:
        return list(values)
    return values.reset_index(drop=True) if hasattr(values, "iloc") else values


def _unwrapped_list(values: list[Any]) -> Any:
    if _all_are(values, Tensor):
        return _stacked(values)
    if _all_are(values, Mapping) and not is_encoded_picture(values[0]):
        import pandas as pd

        return pd.DataFrame(values)
    return values


def _all_are(values: list[Any], kind: type) -> bool:
    return bool(values) and all(isinstance(value, kind) for value in values)


def _stacked(tensors: list[Tensor]) -> Any:
    if len({tensor.shape for tensor in tensors}) == 1:
        return torch.stack(tensors)
    return [as_array(tensor) for tensor in tensors]


def as_array(values: Any) -> np.ndarray[Any, Any]:
    """The values of an array, of a sparse matrix, or of a tensor on any device and of any dtype."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().to_dense() if values.is_sparse else values.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values
    dense = values.toarray() if hasattr(values, "tocsr") else values
    array: np.ndarray[Any, Any] = np.asarray(dense)
    return array
