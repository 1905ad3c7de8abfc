"""`label_issues.csv` after a spreadsheet saved it: the right label, or one line that names row and cell."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdw.audit.audit_files import write_issues
from gdw.audit.edited_issues import read_edited_issues
from gdw.audit.issues import label_issues
from gdw.audit.spreadsheet import LabelReader
from gdw.errors import DataError, RunError
from tests.audit.made import drawn, evidence

EXCEL = {
    "true": "TRUE", "True": "TRUE", "false": "FALSE", "007": "7", "07": "7", "00": "0", "1e5": "1.00E+05",
    "2e5": "2.00E+05", "1.0": "1", "2.0": "2",
    "1.10": "1.1", "2024-01-01": "01/01/2024", "2024-02-03": "2/3/2024", "MAR1": "1-Mar", "1-2": "2-Jan",
    "12345678901234567890": "1.23457E+19", "22345678901234567890": "2.23457E+19",
}  # fmt: skip
"""How Excel (English) saves cells; it keeps others."""

SETS = [
    ("false", "true"),
    ("007", "008", "abc"),
    ("EU", "NA", "nan"),
    ("1e5", "2e5", "x"),
    ("1.0", "2.0"),
    ("1.10", "1.2"),
    ("2024-01-01", "2024-02-03"),
    ("1-2", "MAR1", "SEPT2"),
    ("12345678901234567890", "22345678901234567890"),
    ("50%", "60%"),
    ("=cmd", "+1", "-x"),
    ("naïve", "café", "Ärger"),
]


def saved(path: Path, *, delimiter: str = ",", encoding: str = "utf-8", excel: bool = True) -> None:
    """Write the file again as a spreadsheet would."""
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    comma = delimiter == ";"
    for row in rows[1:]:
        for k, cell in enumerate(row):
            row[k] = EXCEL.get(cell, cell) if excel else cell
            if comma and rows[0][k] in ("label_quality", "score", "suggested_probability"):
                row[k] = cell.replace(".", ",")
            if comma and rows[0][k] == "is_label_issue":
                row[k] = {"TRUE": "WAHR", "FALSE": "FALSCH"}.get(row[k], row[k])
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator="\r\n").writerows(rows)
    path.write_bytes(out.getvalue().encode(encoding))


def frames(tmp_path: Path, names: tuple[str, ...], **how: object) -> tuple[list[str], list[str]]:
    """Suggested labels before, and after a spreadsheet."""
    p, labels = drawn(40, len(names))
    made = evidence(p, labels)
    before = label_issues(made, names)
    path = tmp_path / "list.csv"
    write_issues(before, path)
    saved(path, **how)  # type: ignore[arg-type]
    after = read_edited_issues(path, made, names)
    assert list(after["is_label_issue"]) == list(before["is_label_issue"])
    np.testing.assert_allclose(after["score"], before["score"], atol=1e-5)
    return list(before["suggested_label"]), list(after["suggested_label"])


@pytest.mark.parametrize("names", SETS)
@pytest.mark.parametrize(
    ("delimiter", "encoding"),
    [
        (",", "utf-8-sig"),
        (";", "utf-8-sig"),
        (";", "windows-1252"),
        ("\t", "utf-16"),
        (",", "windows-1252"),
    ],
)
def test_labels_come_back(
    tmp_path: Path, names: tuple[str, ...], delimiter: str, encoding: str
) -> None:
    before, after = frames(tmp_path, names, delimiter=delimiter, encoding=encoding)
    assert after == before


@pytest.mark.parametrize("names", [("007", "07", "7"), ("1", "1.0"), ("TRUE", "True", "true")])
def test_labels_that_become_the_same_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(
        RunError, match=r"row \d+ of .*list.csv: suggested_label '.*' may be any of the"
    ) as e:
        frames(tmp_path, names)
    assert "\n" not in str(e.value)
    # A file that no spreadsheet has saved is read as it is.
    before, after = frames(tmp_path, names, excel=False)
    assert after == before


@pytest.mark.parametrize(
    ("names", "cell", "code"),
    [
        (("2024-01-01", "x"), "1. Jan 2024", None),
        (("2024-01-01", "x"), "01.01.2024", 0),
        (("2024-01-01", "x"), "1-Jan-24", 0),
        (("2024-01-01", "x"), "45292", 0),
        (("2024-02-01", "2024-01-02"), "01/02/2024", (0, 1)),
        (("true", "x"), "VRAI", 0),
        (("1000", "x"), "1,000", 0),
        (("0.5", "x"), "0,5", 0),
        (("0.5", "x"), "50%", 0),
        (("a", "b"), " a ", 0),
        (("1e5", "100000"), "100000", (0, 1)),
        (("yes", "no"), "TRUE", None),
        (("cafe\u0301", "x"), "café", 0),
        (("cat", " cat"), "cat", 0),
        (("cat", " cat"), " cat", 1),
        (("cat", " cat"), "cat ", (0, 1)),
    ],
)
def test_single_cells(
    names: tuple[str, ...], cell: str, code: int | tuple[int, ...] | None
) -> None:
    reader = LabelReader(names, [])
    wanted = {code} if isinstance(code, int) else set(code or ())
    assert reader.candidates(cell) == wanted
    if len(wanted) != 1:
        with pytest.raises(DataError, match="may be any of" if wanted else "is not a class"):
            reader.code(cell, "row 1:")


@given(st.lists(st.text(max_size=8), min_size=1, max_size=6, unique=True))
def test_any_names_are_recovered_or_refused(names: list[str]) -> None:
    reader = LabelReader(names, [])
    for code, name in enumerate(names):
        assert code in reader.candidates(EXCEL.get(name, name))
