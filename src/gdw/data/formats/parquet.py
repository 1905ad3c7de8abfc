"""Parquet files, with the class names that Hugging Face `datasets` writes into their schema."""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdw.data.formats.format import CopyPlan, Format
from gdw.data.rows import TableRows
from gdw.data.text_files import ReadOptions
from gdw.errors import DataError, one_line, shown
from gdw.files import memory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Files that need more memory than this are converted once by `datasets` into its cache and memory-mapped.
IN_MEMORY_BYTES = 1 << 30

_WIDTHS = {"BOOLEAN": 0.125, "INT64": 8, "INT96": 8, "DOUBLE": 8}
_WIDEST = 16
_ROWS_AT_ONCE = 8192
_SMALL_DICTIONARY = 1 << 21
_PLAIN = "write it without dictionaries and compression (use_dictionary=False, compression='none')"


def open_parquet(path: Path, options: ReadOptions) -> TableRows:  # noqa: ARG001
    """The rows of a file; the names of its `ClassLabel` columns are declared class names."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            # Arrow ends the process for some damaged columns; small files need not be looked at that closely.
            small = _is_small(file.metadata)
            least, most, stored, repeated = (0, 0, 0, set()) if small else _sizes(file.metadata)
            if repeated:
                least += _repeated_size(path, sorted(repeated))
            memory.require_unpacked(path, least, _PLAIN, limit=sys.maxsize)
            if stored > IN_MEMORY_BYTES:
                table = _memory_mapped(path, schema)
            elif most > memory.HARMLESS:
                table = _bounded(path, file)
            else:
                table = file.read()
        _require_valid(table)
        table = _without_views(table)
    except (pa.ArrowException, OSError, MemoryError, UnicodeDecodeError, OverflowError) as error:
        raise DataError(
            f"{shown(path)} is damaged, or not a Parquet file: {one_line(error)}"
        ) from None
    return TableRows(table, path, class_names=_class_names(schema))


def _is_small(metadata: Any) -> bool:
    """Whether the file is harmless even if every row holds the longest text that the file can store."""
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    size = sum(group.total_byte_size for group in groups) + metadata.num_columns * _WIDEST
    return bool(0 <= metadata.num_rows * size <= min(memory.HARMLESS, IN_MEMORY_BYTES))


def _sizes(metadata: Any) -> tuple[int, int, int, set[str]]:
    """The least and the most bytes that the columns may need in memory, and those in the file, unpacked.

    A dictionary stores a text once, however often it occurs: then the size in memory is not known before.
    The columns with a small one, which are named too, are quickly measured and do not count in the most.
    """
    least = most = stored = 0
    repeated = set()
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            size, values = column.total_uncompressed_size, column.num_values
            width = _WIDTHS.get(column.physical_type, 4)
            least += values * width
            stored += size
            if not (column.physical_type == "BYTE_ARRAY" and column.has_dictionary_page):
                most += max(values * width, size)
            elif size > _SMALL_DICTIONARY or "." in column.path_in_schema:
                most += values * (width + size)
            elif values * size > memory.HARMLESS // 8:
                repeated.add(column.path_in_schema)
    return int(least), int(most), stored, repeated


def _repeated_size(path: Path, names: list[str]) -> int:
    """The bytes of the texts in some columns, or 0 if they are harmless; only their dictionaries are read."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    def size(column: Any, rows: int | None) -> int:
        """Of a column with `rows` of the longest text, or of its own rows if that is None."""
        total = 0
        for chunk in column.chunks if pa.types.is_dictionary(column.type) else ():
            lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
            used = lengths.take(chunk.indices) if rows is None else lengths
            total += (pc.sum(used) if rows is None else pc.max(used)).as_py() or 0
        return total * (rows or 1)

    with pq.ParquetFile(path, read_dictionary=names) as file:
        groups = range(file.num_row_groups)
        most = 0
        for group in groups:
            # The dictionary comes with the first row.
            first = file.iter_batches(batch_size=1, row_groups=[group], columns=names)
            rows = file.metadata.row_group(group).num_rows
            most += sum(
                size(column, rows) for column in pa.Table.from_batches([*islice(first, 1)]).columns
            )
        if most <= memory.HARMLESS:
            return 0
        tables = (file.read_row_group(group, columns=names) for group in groups)
        return sum(size(column, None) for table in tables for column in table.columns)


def _bounded(path: Path, file: Any) -> Any:
    """The table, read in pieces until it is too large."""
    import pyarrow as pa

    pieces, size = [], 0
    for piece in file.iter_batches(batch_size=_ROWS_AT_ONCE):
        size += piece.nbytes
        memory.require_unpacked(path, size, _PLAIN)
        pieces.append(piece)
    return pa.Table.from_batches(pieces, file.schema_arrow)


def _without_views(table: Any) -> Any:
    """The table with plain texts and bytes in place of views, which Arrow cannot select rows of."""
    import pyarrow as pa

    plain = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    for number, field in enumerate(table.schema):
        if field.type in plain:
            column = table.column(number).cast(plain[field.type])
            table = table.set_column(number, field.name, column)
    return table


def _require_valid(table: Any) -> None:
    """Raise `pyarrow.ArrowInvalid` for text that is not UTF-8, which would fail when it is used."""
    import pyarrow as pa

    for column in table.columns if isinstance(table, pa.Table) else ():
        if not pa.types.is_primitive(column.type) and not _is_ascii(column):
            column.validate(full=True)


def _is_ascii(column: Any) -> bool:
    """Whether a column holds texts of ASCII alone, which is quickly found."""
    import numpy as np
    import pyarrow as pa

    if not pa.types.is_string(column.type):
        return False
    texts = (np.frombuffer(chunk.buffers()[2] or b"", np.uint8) for chunk in column.chunks)
    return all(text.max(initial=0) < 128 for text in texts)


def copy_parquet(plan: CopyPlan, target: Path) -> None:
    """Write the copy; it keeps the schema with its metadata, the row groups and the compression."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(plan.source) as file:
        schema = file.schema_arrow
        plan.require_all(file.metadata.num_rows)
        with pq.ParquetWriter(target, schema, compression=_compression(file)) as out:
            start = 0
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                end = start + len(table)
                relabelled = _relabelled(table, schema, plan, start)
                kept = _kept(relabelled, plan.keep[start:end])
                if len(kept):
                    out.write_table(kept, row_group_size=len(kept))
                start = end


PARQUET = Format((".parquet",), open_parquet, copy_parquet)


def _class_names(schema: Any) -> dict[str, tuple[str, ...]]:
    """The names of each `ClassLabel` column of a `pyarrow.Schema` that `datasets` wrote."""
    import pyarrow as pa

    try:
        written = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            name: tuple(str(label) for label in feature["names"])
            for name, feature in written.items()
            if _is_class_label(feature)
            and name in schema.names
            and pa.types.is_integer(schema.field(name).type)
        }
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _memory_mapped(path: Path, schema: Any) -> Any:
    import datasets

    # Without the schema's metadata: an older `datasets` refuses feature types written by a newer one.
    features = datasets.Features.from_arrow_schema(schema.remove_metadata())
    bars_enabled = datasets.utils.is_progress_bar_enabled()
    datasets.utils.disable_progress_bars()
    try:
        return datasets.Dataset.from_parquet(str(path), features=features).data
    except datasets.exceptions.DatasetGenerationError as error:
        raise DataError(f"{shown(path)} is damaged: {error.__cause__}") from None
    finally:
        if bars_enabled:
            datasets.utils.enable_progress_bars()


def _relabelled(table: Any, schema: Any, plan: CopyPlan, start: int) -> Any:
    """A row group that begins at row `start` of the file, with the new labels."""
    import pyarrow as pa

    changed = [row for row in range(start, start + len(table)) if row in plan.relabel]
    if not changed:
        return table
    position = schema.get_field_index(plan.label)
    labels = table.column(position).to_pylist()
    for row in changed:
        labels[row - start] = plan.relabel[row]
    field = schema.field(position)
    return table.set_column(position, field, pa.array(labels, type=field.type))


def _kept(table: Any, keep: NDArray[np.bool_]) -> Any:
    """The rows to keep. Arrow cannot filter every type, such as views, but it can slice all of them."""
    import numpy as np
    import pyarrow as pa

    try:
        return table.filter(pa.array(keep))
    except pa.ArrowNotImplementedError:
        changes = np.flatnonzero(np.diff(keep, prepend=False, append=False)).reshape(-1, 2)
        runs = [table.slice(first, last - first) for first, last in changes.tolist()]
        return pa.concat_tables([table.slice(0, 0), *runs])


def _compression(file: Any) -> dict[str, str] | str:
    """The compression of each column in the first row group."""
    metadata = file.metadata
    if metadata.num_row_groups == 0:
        return "snappy"
    group = metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    return {
        column.path_in_schema: (
            "none" if column.compression == "UNCOMPRESSED" else column.compression
        )
        for column in columns
    }


def _is_class_label(feature: Any) -> bool:
    return isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and "names" in feature
