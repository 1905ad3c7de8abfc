"""Parquet files: row group by row group, with the schema, its metadata and the compression kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gdw.audit.cleaning.plan import Plan


def copy_parquet(plan: Plan, target: Path) -> None:
    """Write the planned copy."""
    import pyarrow as pa
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
                kept = relabelled.filter(pa.array(plan.keep[start:end]))
                if len(kept):
                    out.write_table(kept, row_group_size=len(kept))
                start = end


def _relabelled(table: Any, schema: Any, plan: Plan, start: int) -> Any:
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


def _compression(file: Any) -> dict[str, str] | str:
    """Of each column as in the first row group."""
    metadata = file.metadata
    if metadata.num_row_groups == 0:
        return "snappy"
    group = metadata.row_group(0)
    chunks = [group.column(i) for i in np.arange(group.num_columns).tolist()]
    return {
        chunk.path_in_schema: "none" if chunk.compression == "UNCOMPRESSED" else chunk.compression
        for chunk in chunks
    }
