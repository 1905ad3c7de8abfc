"""JSON files with a format number: written whole, read with one line of advice when that fails."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdw._version import __version__
from gdw.errors import GDWError, RunError
from gdw.files.atomic import write_text_atomically

_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Document:
    """A kind of JSON file in a run or grid folder.

    Attributes:
        format: the number of the newest format that this version writes and reads.
        remedy: what to do about a damaged file, as the end of a sentence: "train again".
        missing: what to do about a missing file; None: the same as for a damaged one.
        indent: of the text; None for one long line.
    """

    format: int
    remedy: str
    missing: str | None = None
    indent: int | None = 1

    def write(self, path: Path, content: Mapping[str, Any]) -> None:
        """Write `content` to `path`, whole or not at all, with the format and the version of gdw."""
        written = {"format": self.format, "gdw_version": __version__, **content}
        text = json.dumps(written, ensure_ascii=False, allow_nan=False, indent=self.indent)
        write_text_atomically(path, text)

    def read(self, path: Path) -> dict[str, Any]:
        """The content of `path`, without the format and the version.

        Raises:
            RunError: the file is missing, damaged, or was written by a newer version of gdw.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(f"{path} does not exist: {self.missing or self.remedy}") from None
        except _UNREADABLE as error:
            raise self.damaged(path, error) from error
        if not isinstance(content, dict):
            raise self.damaged(path, f"expected an object, found {type(content).__name__}")
        # Some files of gdw 0.1.0 have no format number; they are of the first format.
        number, version = content.pop("format", 1), content.pop("gdw_version", None)
        if not isinstance(number, int):
            raise self.damaged(path, f"format {number!r} is no number")
        require_format(number, self.format, path, version=version)
        return content

    def damaged(self, path: Path, reason: object) -> RunError:
        """The error that says in one line that `path` is damaged, why, and what to do."""
        return RunError(f"{path} is damaged ({one_line(reason)}): {self.remedy}")


def require_format(
    found: int,
    known: int,
    path: Path,
    *,
    version: object = None,
    error: type[GDWError] = RunError,
) -> None:
    """Raise `error` if `path` has a newer format than this version of gdw reads.

    Args:
        found: the format number in the file.
        known: the newest number that this version reads.
        path: the file.
        version: the version of gdw that wrote it, if the file says so.
        error: the class of the error.
    """
    if found > known:
        writer = f"gdw {version}" if isinstance(version, str) else "a newer gdw"
        raise error(
            f"{path} was written by {writer} (format {found}); this is gdw {__version__} (format {known}): "
            "upgrade it (pip install -U gdw)"
        )


def finite_or_null(value: Any) -> Any:
    """`value`, a tree of plain values, with None in place of NaN and infinity, which JSON lacks."""
    if isinstance(value, Mapping):
        return {key: finite_or_null(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_or_null(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def one_line(reason: object) -> str:
    """An exception or text as one line; the name of an exception that says nothing."""
    return " ".join(str(reason).split()) or type(reason).__name__
