"""JSON Lines: one JSON object per line. An object may also take several lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from gdw.data.formats.format import CopyPlan, Format
from gdw.data.formats.json_keys import require_same_keys
from gdw.data.formats.json_objects import (
    DEEPEST,
    objects,
    spelled_like,
    too_deep,
    value_end,
    value_span,
)
from gdw.data.formats.records import line_of
from gdw.data.rows import TableRows
from gdw.data.text_files import (
    Content,
    ReadOptions,
    is_utf8,
    not_in_encoding,
    utf8_content,
    write_encoded,
)
from gdw.errors import DataError, shown

_BYTES_AT_ONCE = 1 << 26
_BEYOND_INT64 = 2.0**63
_NULL = re.compile(rb"\s*null")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def open_jsonl(path: Path, options: ReadOptions) -> TableRows:
    """The rows of a file; keys that a line lacks are missing values. `DataError` names a broken line."""
    import pyarrow as pa

    with utf8_content(path, options.encoding) as content:
        deep = too_deep(content)
        if deep is not None:
            raise DataError(
                f"line {line_of(content, deep)} of {shown(path)} is nested more than {DEEPEST} levels deep: "
                "expected an object of texts and numbers"
            )
        _require_objects(path, content)
        require_same_keys(path, content, _begin(content))
        try:
            source = _source(path, content, options)
            table = _read(source, None)
            dates = [field.name for field in table.schema if pa.types.is_temporal(field.type)]
            if dates:
                # JSON has no dates: Arrow infers them from text, but the text may be a label.
                table = _read(source, pa.schema([(name, pa.string()) for name in dates]))
            table = _with_exact_integers(table, source)
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            _require_utf8(path, content)
            fault = _fault(path, content) or f"cannot read {shown(path)}: {_one_line(error)}"
            raise DataError(fault) from None
        try:
            table.validate(full=True)
        except (pa.ArrowInvalid, UnicodeDecodeError):
            # Arrow makes invalid lists of nulls itself, and these can be read.
            _require_utf8(path, content)
    return TableRows(table, path)


def copy_jsonl(plan: CopyPlan, target: Path) -> None:
    """Write the copy. Only the values of changed labels differ from the source."""
    encoding = plan.rows.options.encoding
    with utf8_content(plan.source, encoding) as content:
        write_encoded(_copied(content, plan), plan.source, encoding, target)


JSONL = Format((".jsonl",), open_jsonl, copy_jsonl)


def _require_objects(path: Path, content: Content) -> None:
    """Raise `DataError` for a line `null`, with which Arrow ends the process at the beginning of a block."""
    begins = _NULL.match(content, _begin(content))
    if begins or (len(content) > _BYTES_AT_ONCE and content.find(b"\nnull") >= 0):
        fault = _fault(path, content)
        if fault is not None:
            raise DataError(fault)


def _source(path: Path, content: Content, options: ReadOptions) -> Path | bytes:
    """What Arrow reads: the file, or its content in UTF-8 without a byte order mark."""
    begin = _begin(content)
    return path if is_utf8(options.encoding) and not begin else content[begin:]


def _with_exact_integers(table: Any, source: Path | bytes) -> Any:
    """The table with integers beyond 64 bits as they are: Arrow rounds them to floats."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for number, field in enumerate(table.schema):
        if not pa.types.is_floating(field.type):
            continue
        column = table.column(number)
        extremes = pc.min_max(column).as_py()
        if max(abs(extremes["min"] or 0), abs(extremes["max"] or 0)) < _BEYOND_INT64:
            continue
        for exact in (pa.uint64(), pa.decimal128(38, 0), pa.decimal256(76, 0)):
            with suppress(pa.ArrowInvalid):
                column = _read(source, pa.schema([(field.name, exact)]), others="ignore").column(0)
                table = table.set_column(number, field.name, column)
                break
    return table


def _read(source: Path | bytes, schema: Any, *, others: str = "infer") -> Any:
    """The table that Arrow reads, with the columns of `schema` and `others`."""
    import pyarrow as pa
    from pyarrow import json as arrow_json

    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    # An object of several lines may lie across two blocks. The reader that expects this is slower.
    for newlines_in_values in (False, True) if size > _BYTES_AT_ONCE else (False,):
        try:
            return arrow_json.read_json(
                pa.BufferReader(source)
                if isinstance(source, bytes)
                else pa.memory_map(str(source)),
                read_options=arrow_json.ReadOptions(block_size=_BYTES_AT_ONCE),
                parse_options=arrow_json.ParseOptions(
                    explicit_schema=schema,
                    newlines_in_values=newlines_in_values,
                    unexpected_field_behavior=others,
                ),
            )
        except pa.ArrowInvalid as error:
            fault = error
    raise fault


def _begin(content: Content) -> int:
    return len(_BYTE_ORDER_MARK) if content[:3] == _BYTE_ORDER_MARK else 0


def _require_utf8(path: Path, content: Content) -> None:
    """Raise `DataError` with advice if the content is not UTF-8, which Arrow does not check."""
    try:
        content[:].decode()
    except UnicodeDecodeError:
        raise DataError(not_in_encoding(path, None)) from None


def _copied(content: Content, plan: CopyPlan) -> Iterator[bytes]:
    """The pieces of the copy, from the first byte to the last."""
    import numpy as np

    rows = np.array(sorted(plan.relabel), dtype=np.int64)
    present = dict(zip(rows.tolist(), plan.rows.values(plan.label, rows), strict=True))
    row, written = 0, 0
    for start, end in objects(content):
        yield content[written:start]
        if row < len(plan.keep) and plan.keep[row]:
            item = content[start:end]
            yield _relabelled(item, row, present[row], plan) if row in plan.relabel else item
        written = end
        row += 1
    yield content[written:]
    plan.require_all(row)


def _relabelled(item: bytes, row: int, present: Any, plan: CopyPlan) -> bytes:
    """An object with the new label."""
    span = value_span(item, plan.label)
    if span is None or json.loads(item[slice(*span)]) != present:
        raise plan.changed(f"has another label in row {row} now")
    return item[: span[0]] + spelled_like(item, plan.relabel[row]) + item[span[1] :]


def _fault(path: Path, content: Content) -> str | None:
    """What is wrong with the file, and where. This is slow, so it is called for broken files only."""
    first: dict[str, tuple[str, int]] = {}
    for number, text in _items(content):
        place = f"line {number} of {shown(path)}"
        try:
            item = json.loads(text)
        except ValueError as error:
            return f"{place} is not valid JSON: {_one_line(error)}"
        if not isinstance(item, dict):
            return f'{place} should be a JSON object such as {{"text": ..., "label": ...}}'
        odd = _odd_characters(text, item)
        if odd is not None:
            return f"{place} {odd}"
        for key, value in item.items():
            kind = _kind(value)
            first_kind, at = first.setdefault(key, (kind, number)) if kind else ("", 0)
            if kind and first_kind != kind:
                return (
                    f"{place} has {kind} under {key!r}, but line {at} has {first_kind}: "
                    "use one type in all lines"
                )
    return None


def _odd_characters(text: bytes, item: dict[str, Any]) -> str | None:
    """What Python reads, but Arrow does not."""
    if text.startswith(_BYTE_ORDER_MARK):
        return "begins with a byte order mark, as in files that were joined: remove it"
    try:
        json.dumps(item, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])
        return f"has {half}, which is half of a character: remove it"
    pairs = json.loads(text, object_pairs_hook=list)
    twice = next((key for key, _ in pairs if [name for name, _ in pairs].count(key) > 1), None)
    return None if twice is None else f"has the key {twice!r} twice: expected each key once"


def _items(content: Content) -> Iterator[tuple[int, bytes]]:
    """Each line that is not empty, with its number; the lines of an object that is closed later are one."""
    position, number, size = _begin(content), 1, len(content)
    while position < size:
        end = content.find(b"\n", position) + 1 or size
        text = content[position:end]
        if text.strip():
            if text.lstrip().startswith(b"{") and not text.rstrip().endswith(b"}"):
                closed = value_end(content, content.find(b"{", position))
                end = max(end, content.find(b"\n", closed) + 1 or size) if closed >= 0 else end
                text = content[position:end]
            yield number, text
        number += text.count(b"\n")
        position = end


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
