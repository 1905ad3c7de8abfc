"""One JSON object a line: untouched lines are copied byte by byte."""

from __future__ import annotations

import json
from pathlib import Path

from gdw.audit.cleaning.plan import Plan


def copy_jsonl(plan: Plan, target: Path) -> None:
    """Write the planned copy."""
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


def _relabelled(line: bytes, plan: Plan, row: int) -> bytes:
    item = json.loads(line)
    item[plan.label] = plan.relabel[row]
    ending = line[len(line.rstrip(b"\r\n")) :]
    return json.dumps(item, ensure_ascii=False).encode() + ending
