"""JSON Lines: one JSON object per line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gdw.data.formats.format import CopyPlan, Format
from gdw.data.rows import TableRows
from gdw.errors import DataError
from gdw.files.wording import shown


def open_jsonl(path: Path) -> TableRows:
    """The rows of a file; keys that a line lacks are missing values. `DataError` names a broken line."""
    import pyarrow as pa

    try:
        table = _read(path, None)
        dates = [field.name for field in table.schema if pa.types.is_temporal(field.type)]
        if dates:
            # JSON has no dates: Arrow infers them from text, but the text may be a label.
            table = _read(path, pa.schema([(name, pa.string()) for name in dates]))
    except pa.ArrowInvalid as error:
        raise DataError(_fault(path) or f"cannot read {shown(path)}: {_one_line(error)}") from None
    return TableRows(table, path)


def copy_jsonl(plan: CopyPlan, target: Path) -> None:
    """Write the copy; lines that do not change are copied byte by byte."""
    row = 0
    with plan.source.open("rb") as source, target.open("wb") as file:
        for line in source:
            if not line.strip():
                file.write(line)
                continue
            if row < len(plan.keep) and plan.keep[row]:
                file.write(_relabelled(line, plan, row) if row in plan.relabel else line)
            row += 1
    plan.require_all(row)


JSONL = Format((".jsonl",), open_jsonl, copy_jsonl)


def _read(path: Path, schema: Any) -> Any:
    from pyarrow import json as arrow_json

    return arrow_json.read_json(
        path,
        read_options=arrow_json.ReadOptions(block_size=1 << 26),
        parse_options=arrow_json.ParseOptions(explicit_schema=schema),
    )


def _relabelled(line: bytes, plan: CopyPlan, row: int) -> bytes:
    item = json.loads(line)
    item[plan.label] = plan.relabel[row]
    ending = line[len(line.rstrip(b"\r\n")) :]
    return json.dumps(item, ensure_ascii=False).encode() + ending


def _fault(path: Path) -> str | None:
    """What is wrong with the file, and where. This is slow, so it is called for broken files only."""
    first: dict[str, tuple[str, int]] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"line {number} of {shown(path)}"
            try:
                item = json.loads(line)
            except ValueError as error:
                return f"{place} is not valid JSON: {_one_line(error)}"
            if not isinstance(item, dict):
                return f'{place} should be a JSON object such as {{"text": ..., "label": ...}}'
            for key, value in item.items():
                kind = _kind(value)
                first_kind, at = first.setdefault(key, (kind, number)) if kind else ("", 0)
                if kind and first_kind != kind:
                    return (
                        f"{place} has {kind} under {key!r}, but line {at} has {first_kind}: "
                        "use one type in all lines"
                    )
    return None


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if value is None:
        return ""
    return (
        "text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
