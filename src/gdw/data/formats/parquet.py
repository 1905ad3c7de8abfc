"""Parquet files, with the class names that Hugging Face `datasets` writes into their schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gdw.data.rows import TableRows
from gdw.errors import DataError
from gdw.files.wording import shown

# Larger files (by their size in memory) are unpacked once into the cache of `datasets` and memory-mapped.
IN_MEMORY_BYTES = 1 << 30


def open_parquet(path: Path) -> TableRows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            groups = range(file.metadata.num_row_groups)
            size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
        names = class_names(schema)
        if size > IN_MEMORY_BYTES:
            return TableRows(_memory_mapped(path, schema), path, class_names=names)
        return TableRows(pq.read_table(path, partitioning=None), path, class_names=names)
    except (pa.ArrowInvalid, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{shown(path)} is damaged, or no Parquet file: {reason}") from None


def class_names(schema: Any) -> dict[str, tuple[str, ...]]:
    """The names of each `ClassLabel` column of a `pyarrow.Schema` written by `datasets`."""
    try:
        written = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, ValueError, TypeError):
        return {}
    return {
        name: tuple(str(label) for label in feature["names"])
        for name, feature in written.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and "names" in feature
    }


def _memory_mapped(path: Path, schema: Any) -> Any:
    import datasets

    # Without the schema's metadata: an older `datasets` refuses feature types written by a newer one.
    features = datasets.Features.from_arrow_schema(schema.remove_metadata())
    shown_before = datasets.utils.is_progress_bar_enabled()
    datasets.utils.disable_progress_bars()
    try:
        return datasets.Dataset.from_parquet(str(path), features=features).data
    except datasets.exceptions.DatasetGenerationError as error:
        raise DataError(f"{shown(path)} is damaged: {error.__cause__}") from None
    finally:
        if shown_before:
            datasets.utils.enable_progress_bars()
