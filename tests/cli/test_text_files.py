"""Text files with another delimiter, quotes and encoding: every command reads them as `train` did."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.cli.conftest import Run


def table(path: Path, rows: int, encoding: str) -> bytes:
    names = ("Köln", "Ulm")
    lines = [f'{i % 7};"{i} inches";{names[(i % 7) // 4]}' for i in range(rows)]
    lines[3] = f'3;5" of "rain;{names[0]}'
    content = ("\r\n".join(["x;note;city", *lines]) + "\r\n").encode(encoding)
    path.write_bytes(content)
    return content


def test_a_run_on_windows_1252_with_semicolons_and_raw_quotes(
    train: Run, gdw: Run, here: Path
) -> None:
    content = table(here / "d.csv", 60, "windows-1252")
    for name in ("clean.csv", "t.csv"):
        table(here / name, 12, "windows-1252")
    reading = ("--label", "city", "--delimiter", ";", "--quoting", "none", "--encoding", "cp1252")
    more = (*reading, "--test", "t.csv", "--seed", 0)
    done = train(*more, data="d.csv")
    assert done.exit_code == 0, done.output
    assert "60 training examples" in done.output

    shown = gdw("evaluate", "run", "t.csv")
    assert shown.exit_code == 0, shown.output
    assert "Köln" in shown.output
    written = gdw("predict", "run", "t.csv", "--output", "p.csv")
    assert written.exit_code == 0, written.output
    assert set(pd.read_csv(here / "p.csv")["prediction"]) <= {"Köln", "Ulm"}
    report = gdw("report", "run", "--output", "r.html")
    assert report.exit_code == 0, report.output

    issues = "index,given_label,suggested_label,is_label_issue,label_quality\n3,Köln,Ulm,true,0.1\n"
    (here / "i.csv").write_text(issues, encoding="utf-8")
    words = ("--issues", "i.csv", "--apply", "RELABEL", "--output", "new.csv")
    copied = gdw("audit", "run", *words)
    assert copied.exit_code == 0, copied.output
    old, new = '3;5" of "rain;Köln'.encode("cp1252"), b'3;5" of "rain;Ulm'
    assert (here / "new.csv").read_bytes() == content.replace(old, new)


def test_options_that_cannot_be_used(train: Run) -> None:
    for words, message in [
        (("--delimiter", ";;"), "should be a single ASCII character such as ';'"),
        (("--encoding", "utf-9"), "unknown encoding 'utf-9' (--encoding, encoding=)"),
        (("--quoting", "single"), "quoting: expected 'double' or 'none', found 'single'"),
    ]:
        done = train(*words)
        assert done.exit_code == 2
        assert message in done.output
