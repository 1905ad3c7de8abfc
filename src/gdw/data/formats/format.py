"""What a file format is: its suffixes, how a file is opened, and how a changed copy is written."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdw.data.text_files import ReadOptions
from gdw.errors import DataError, OutputError, shown
from gdw.files.documents import write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gdw.data.rows import Rows


@dataclass(frozen=True, eq=False)
class CopyPlan:
    """Which of the R rows of a file or folder are copied, and which of them get another label.

    Attributes:
        source: the path of the file or folder.
        rows: its rows, as they were opened.
        label: the name of its label column.
        keep: `(R,)` bool, true for the rows to copy.
        relabel: from the number of a row to its new label, a value of the label column.
    """

    source: Path
    rows: Rows
    label: str
    keep: NDArray[np.bool_]
    relabel: Mapping[int, Any]

    def require_all(self, count: int) -> None:
        """Raise `DataError` unless the file still has as many rows as when it was opened."""
        if count != len(self.keep):
            raise self.changed(
                f"has {count} rows now, but it had {len(self.keep)} when it was opened"
            )

    def changed(self, difference: str) -> DataError:
        """The error for a file that changed since it was opened."""
        return DataError(
            f"{shown(self.source)} {difference}: the file changed, so nothing was written; start again"
        )


@dataclass(frozen=True)
class Format:
    """One file format.

    Attributes:
        suffixes: the file name suffixes of the format, in lower case; empty for folders.
        open: takes the path of a file that exists and the options for text files, and returns its rows. It
            raises `DataError` for a file that cannot be read.
        copy: takes a plan and a path, and writes the copy there. Rows that do not change are copied as they
            are. It raises `DataError` if the source cannot be copied.
    """

    suffixes: tuple[str, ...]
    open: Callable[[Path, ReadOptions], Rows]
    copy: Callable[[CopyPlan, Path], None]

    def write_copy(self, plan: CopyPlan, target: Path) -> None:
        """Write the copy to the new path `target`, whole or not at all."""
        if plan.source.is_dir():
            # A folder cannot replace a temporary file, so its format takes care of this itself.
            try:
                self.copy(plan, target)
            except OSError as error:
                if (
                    error.errno in (errno.ENOENT, errno.EACCES)
                    and plan.source in Path(error.filename or "").parents
                ):
                    raise
                # The error may name the temporary folder.
                raise OutputError.of(error, target) from error
        else:
            write_atomically(target, lambda file: self.copy(plan, file))
