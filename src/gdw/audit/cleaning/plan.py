"""What is to be changed in a copy of the data, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.errors import DataError
from gdw.files.wording import shown


@dataclass(frozen=True, eq=False)
class Plan:
    """Changes to a file or folder of R rows.

    Attributes:
        source: where it is.
        label: its label column.
        keep: `(R,)` bool, the rows to copy.
        relabel: for rows to copy with another label, the row and that label as the file spells it.
    """

    source: Path
    label: str
    keep: NDArray[np.bool_]
    relabel: Mapping[int, Any]

    def require_all(self, seen: int) -> None:
        """`DataError` unless `seen` rows were found, as many as when the data were opened."""
        if seen != len(self.keep):
            raise DataError(
                f"{shown(self.source)} holds {seen} rows where {len(self.keep)} were read before: did it "
                "change meanwhile? Nothing was written"
            )
