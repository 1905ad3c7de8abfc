"""The tables of a run folder (`label_issues.csv`, `noise_matrix.csv`) read back as they were written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gdw.errors import RunError
from gdw.files.formula import unescaped

if TYPE_CHECKING:
    import pandas as pd

_ISSUES_TEXT = ("where", "given_label", "suggested_label")
_ISSUES_NUMBERS = ("index", "suggested_probability", "score")


def read_issues(path: Path) -> pd.DataFrame:
    """`label_issues.csv`: labels and places as text, `is_label_issue` bool, the rest float64.

    Raises:
        RunError: the file is not such a table.
    """
    frame = _read(path, (*_ISSUES_TEXT, "is_label_issue"), _ISSUES_NUMBERS)
    if not frame["score"].between(0, 1).all():
        raise RunError(f"{path} is damaged: a score is not between 0 and 1; run gdw audit again")
    frame["is_label_issue"] = frame["is_label_issue"].str.lower() == "true"
    return frame


def read_noise_matrix(path: Path) -> pd.DataFrame:
    """`noise_matrix.csv`: `true_label`, `given_label` as text, `probability`, `low`, `high`, `count` float64.

    Raises:
        RunError: the file is not such a table.
    """
    numbers = ("probability", "low", "high", "count")
    return _read(path, ("true_label", "given_label"), numbers)


def _read(path: Path, text: tuple[str, ...], numbers: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    try:
        # A class may be called "NA" or "null": only numbers can be missing.
        frame = pd.read_csv(
            path,
            dtype={**dict.fromkeys(text, "str"), **dict.fromkeys(numbers, "float64")},
            keep_default_na=False,
            na_values={name: ["", "nan", "NaN"] for name in numbers},
            encoding="utf-8",
        )
    except (ValueError, OSError) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"{path} is damaged ({what}): run gdw audit again") from None
    missing = [name for name in (*text, *numbers) if name not in frame.columns]
    if missing:
        raise RunError(
            f"{path} is damaged: it has no column {missing[0]!r}; run gdw audit again to write it anew"
        )
    for name in text:
        frame[name] = frame[name].map(unescaped)
    return frame
