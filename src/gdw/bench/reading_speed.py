"""How fast files are read: rows and megabytes per second of each format, for one generated table."""

from __future__ import annotations

import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from gdw.bench.step_cost import quartiles
from gdw.data.encode import fit_encoder
from gdw.data.loading import load
from gdw.files.machine import describe_machine

_WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")
_ROWS_AT_ONCE = 20_000
_ROWS_PER_IMAGE = 100
_SIDE = 32


def run(
    *,
    rows: int = 100_000,
    columns: int = 20,
    repeats: int = 7,
    seed: int = 0,
    log: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure how fast each file format is read, from the path to a `Source` with recognised columns.

    Of the columns of the table, three fifths are numbers with decimals, one fifth whole numbers and one fifth
    words; the label is one more. An archive has the numbers alone. The folder has one PNG file of 32 x 32
    pixels for each hundred rows, which are decoded too.

    Args:
        rows, columns: the size of the table.
        repeats: how often each file is read, in turn.
        seed: of the generated values.
        log: takes a line after each repeat.

    Returns:
        The results for JSON; the rates are rows per second.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = _write_files(Path(folder), rows, columns, seed)
        counts = {name: _read(path) for name, path in files.items()}
        sizes = {name: _size(path) for name, path in files.items()}
        rates: dict[str, list[float]] = {name: [] for name in files}
        for repeat in range(repeats):
            for name, path in files.items():
                gc.collect()
                start = time.perf_counter()
                _read(path)
                rates[name].append(counts[name] / (time.perf_counter() - start))
            log(f"reading: repeat {repeat + 1} of {repeats}")
    packages = {name: metadata.version(name) for name in ("numpy", "pandas", "pyarrow", "pillow")}
    return {
        "machine": describe_machine() | packages,
        "rows": rows,
        "columns": columns,
        "repeats": repeats,
        "formats": {
            name: {"rows": counts[name], "bytes": sizes[name], "rows_per_second": rates[name]}
            for name in files
        },
    }


def table(results: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]], str]:
    """The header and the rows of a table of the results of `run`, and the data and machine in words."""
    machine = ", ".join(f"{key} {value}" for key, value in results["machine"].items())
    note = (
        f"A table of {results['rows']:,} rows and {results['columns']} columns; medians of "
        f"{results['repeats']} repeats, with quartiles. Machine: {machine}."
    )
    rows: list[tuple[str, ...]] = []
    for name, figures in results["formats"].items():
        rates = figures["rows_per_second"]
        middle, (low, high) = statistics.median(rates), quartiles(rates)
        size = figures["bytes"] / 1e6
        rows.append(
            (
                name,
                f"{figures['rows']:,}",
                f"{size:,.1f}",
                f"{middle:,.0f} ({low:,.0f}-{high:,.0f})",
                f"{size / figures['rows'] * middle:,.1f}",
            )
        )
    return ("format", "rows", "MB", "rows per second", "MB per second"), rows, note


def _read(path: Path) -> int:
    source = load(path, label="label")
    if path.is_dir():
        fit_encoder(source, image_size=_SIDE).encode(source)
    return len(source)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())


def _write_files(folder: Path, rows: int, columns: int, seed: int) -> dict[str, Path]:
    """Write the table in each format; the files by the names of their rows in the results."""
    from pyarrow import csv, parquet

    content = _table(rows, columns, np.random.default_rng(seed))
    names = ("a.csv", "quoted.csv", "a.tsv", "a.jsonl", "a.parquet", "a.npz", "png")
    titles = ("CSV", "CSV, quoted", "TSV", "JSON Lines", "Parquet", "npz", "folder of PNG")
    files = dict(zip(titles, map(folder.joinpath, names), strict=True))
    plain = csv.WriteOptions(quoting_style="none")
    csv.write_csv(content, files["CSV"], plain)
    csv.write_csv(content, files["CSV, quoted"], csv.WriteOptions(quoting_style="all_valid"))
    tabs = csv.WriteOptions(delimiter="\t", quoting_style="none")
    csv.write_csv(content, files["TSV"], tabs)
    parquet.write_table(content, files["Parquet"])
    with files["JSON Lines"].open("w", encoding="utf-8") as lines:
        for batch in content.to_batches(max_chunksize=_ROWS_AT_ONCE):
            lines.writelines(json.dumps(row) + "\n" for row in batch.to_pylist())
    numbers = [content[f"number {k}"].to_numpy() for k in range(columns) if k % 5 < 4]
    np.savez(files["npz"], X=np.stack(numbers, axis=1), y=content["label"].to_numpy().astype("U"))
    _write_images(files["folder of PNG"], max(2, rows // _ROWS_PER_IMAGE), seed)
    return files


def _table(rows: int, columns: int, draws: np.random.Generator) -> Any:
    import pyarrow as pa

    def column(place: int) -> tuple[str, Any]:
        if place % 5 == 4:
            return f"word {place}", np.array(_WORDS)[draws.integers(0, len(_WORDS), rows)]
        if place % 5 == 3:
            return f"number {place}", draws.integers(0, 1000, rows)
        return f"number {place}", draws.normal(size=rows).round(5)

    labels = np.array(["no", "yes"])[draws.integers(0, 2, rows)]
    return pa.table({**dict(map(column, range(columns))), "label": labels})


def _write_images(folder: Path, images: int, seed: int) -> None:
    from PIL import Image

    draws = np.random.default_rng(seed)
    for number in range(images):
        path = folder / f"class{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8)).save(path)
