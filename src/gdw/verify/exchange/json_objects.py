"""A JSON file with a list of objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gdw.errors import DataError, shown


def json_objects(path: Path) -> list[dict[str, Any]]:
    """The objects in a file.

    Raises:
        DataError: the file cannot be read, or holds something else.
    """
    try:
        objects = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot read {shown(path)} as JSON: {error}") from None
    if not isinstance(objects, list) or not all(isinstance(one, dict) for one in objects):
        raise DataError(
            f"{shown(path)} is no export of Label Studio or Argilla: expected a list of tasks or records"
        )
    return objects
