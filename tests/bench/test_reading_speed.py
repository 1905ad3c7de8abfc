"""The benchmark of reading: what it reads and what it writes. No test looks at the clock."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gdw.bench import reading_speed
from gdw.cli.app import app
from gdw.data import load

TITLES = ["CSV", "CSV, quoted", "TSV", "JSON Lines", "Parquet", "npz", "folder of PNG"]


def test_every_format_is_read(tmp_path: Path) -> None:
    files = reading_speed._write_files(tmp_path, rows=60, columns=5, seed=0)
    assert list(files) == TITLES
    sources = {name: load(path, label="label") for name, path in files.items()}
    labels = {name: source.labels.tolist() for name, source in sources.items()}  # type: ignore[union-attr]
    for name in TITLES[:5]:
        assert len(sources[name].feature_columns) == 5
        assert labels[name] == labels["CSV"]
    assert labels["npz"] == labels["CSV"]
    assert labels["folder of PNG"] == [0, 1]
    again = tmp_path / "again"
    again.mkdir()
    other = reading_speed._write_files(again, rows=60, columns=5, seed=0)
    assert other["CSV"].read_bytes() == files["CSV"].read_bytes()


def test_figures_and_table() -> None:
    said: list[str] = []
    results = reading_speed.run(rows=40, columns=5, repeats=2, log=said.append)
    assert json.loads(json.dumps(results)) == results
    assert list(results["formats"]) == TITLES
    assert said == ["reading: repeat 1 of 2", "reading: repeat 2 of 2"]
    figures = {"rows": 1000, "bytes": 2_000_000, "rows_per_second": [1000.0, 2000.0, 3000.0]}
    _, rows, note = reading_speed.table({**results, "formats": {"CSV": figures}})
    assert rows == [("CSV", "1,000", "2.0", "2,000 (1,500-2,500)", "4.0")]
    assert "A table of 40 rows and 5 columns; medians of 2 repeats" in note
    assert f"pyarrow {results['machine']['pyarrow']}" in note


def test_the_command_passes_the_size_and_shows_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading: dict[str, Any] = {"rates": {}}
    monkeypatch.setattr("gdw.bench.loading_speed.run", lambda **_: loading)
    words = ["bench", "--suite", "loading", "--repeats", "1", "--json", str(tmp_path / "b.json")]
    done = CliRunner().invoke(app, [*words, "--table-rows", "30", "--table-columns", "6"])
    assert done.exit_code == 0, done.output
    assert "\nReading\n" in done.output
    assert "│ JSON Lines    │   30 │" in done.output
    assert "## " not in done.output
    reading = json.loads((tmp_path / "b.json").read_text())["reading"]
    assert (reading["rows"], reading["columns"]) == (30, 6)
