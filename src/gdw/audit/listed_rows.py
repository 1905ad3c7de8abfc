"""Which rows a list of issues means: rows of the data from 0, or as earlier versions of gdw counted them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdw.audit.evidence import Evidence
from gdw.audit.issues import Where
from gdw.data.text_files import unescaped
from gdw.errors import DataError, RunError, shown, warn_user

if TYPE_CHECKING:
    import pandas as pd

Positions = NDArray[np.int64]

_ROW = re.compile(r"row (\d+) of (.*)", re.DOTALL)


def positions_meant(
    index: NDArray[np.int64],
    places: Sequence[str],
    evidence: Evidence,
    path: Path,
    *,
    where: Where | None,
    labels_fit: Callable[[Positions], bool],
) -> Positions:
    """The positions among the training examples that a list means; -1 for rows that were not trained on.

    The column `index` has the row of the data. In earlier versions of gdw it had the position among the
    training rows, and the column `where` counted rows from 1. A list of that time is recognised by `where`,
    or else by the given labels; a `FutureWarning` says so.

    Args:
        index: `(R,)`, the column `index`.
        places: the R cells of the column `where`; empty if there is none.
        evidence: of the run.
        path: the file, for messages.
        where: from the position of an example to its place in words.
        labels_fit: whether the given labels of the list are those of the run at R positions.

    Raises:
        DataError: the columns contradict each other, or both meanings are possible.
    """
    now = evidence.positions(index)
    before = np.where(index < len(evidence), index, -1)
    if (now == before).all():
        return now
    votes = _votes(index, list(map(unescaped, places)), (now, before), evidence, path, where)
    if votes is None:
        fits = [bool((read >= 0).all()) and labels_fit(read) for read in (now, before)]
        if all(fits):
            raise DataError(
                f"{shown(path)}: the column index may have rows of the data, or positions among the training "
                "rows, as in earlier versions of gdw: keep the column 'where' in the list, which tells them "
                "apart"
            )
        votes = not fits[1]
    if not votes:
        _warn(path, "its index counts the training rows, and is read so")
        return before
    return now


def _votes(
    index: NDArray[np.int64],
    places: Sequence[str],
    read: tuple[Positions, Positions],
    evidence: Evidence,
    path: Path,
    where: Where | None,
) -> bool | None:
    """Whether `places` say that `index` has rows of the data; None if they say nothing."""
    numbers = evidence.numbers
    first: dict[bool, int] = {}
    for row, place in enumerate(places):
        now, before = (int(positions[row]) for positions in read)
        if found := _ROW.fullmatch(place):
            number, former = int(found[1]), -1 if before < 0 else int(numbers[before]) + 1
            agree = (number == index[row], number == former)
        else:
            agree = (_is_at(now, place, where), _is_at(before, place, where))
        if found and not any(agree):
            raise DataError(
                f"row {row} of {shown(path)}: index {index[row]} and where {place!r} are different rows: "
                "restore them"
            )
        if agree[0] != agree[1]:
            first.setdefault(bool(agree[0]), row)
    if len(first) > 1:
        raise DataError(
            f"{shown(path)}: index has the row of the data in row {first[True]}, and the position among the "
            f"training rows in row {first[False]}, as in lists of earlier versions of gdw: use one list"
        )
    return next(iter(first), None)


def _is_at(position: int, place: str, where: Where | None) -> bool:
    """Whether the path of an example ends with the same folder and name: the data may have been moved."""
    if where is None or position < 0:
        return False
    return PurePath(where(position)).parts[-2:] == PurePath(place).parts[-2:]


def modernised(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table of `label_issues.csv`; one of an earlier version of gdw with rows that count from 0.

    Args:
        frame: the table as it is in the file, with the columns `index` and `where`.
        path: the file, for messages.

    Raises:
        RunError: the two columns contradict each other.
    """
    import pandas as pd

    found = frame["where"].str.extract(_ROW)
    numbers = pd.to_numeric(found[0])
    told = (numbers.notna() & frame["index"].notna()).to_numpy()
    ahead = (numbers - frame["index"])[told]
    if (ahead == 0).all():
        return frame
    if not (ahead > 0).all():
        raise RunError(
            f"{path} is damaged: its columns index and where name different rows; run gdw audit again"
        )
    _warn(path, "here they count from 0, and gdw audit writes the list again")
    places: Any = [
        place if number != number else f"row {number - 1:.0f} of {name}"
        for place, number, name in zip(frame["where"], numbers, found[1], strict=True)
    ]
    renumbered: pd.DataFrame = frame.copy(deep=False)
    renumbered["index"], renumbered["where"] = (numbers - 1.0).fillna(frame["index"]), places
    return renumbered


def _warn(path: Path, how: str) -> None:
    warn_user(
        f"{shown(path)} is of an earlier version of gdw, which counted rows from 1: {how}",
        FutureWarning,
    )
