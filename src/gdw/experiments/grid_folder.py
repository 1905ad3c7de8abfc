"""The folder of a grid: which cells it holds, their settings, and how they ended."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import yaml
from pydantic import ValidationError

from gdw._version import __version__
from gdw.errors import GDWError, RunError, one_line
from gdw.experiments.cell_settings import MADE, CellSettings, differences
from gdw.experiments.cells import Cell
from gdw.experiments.protocol import SECTIONS, Protocol
from gdw.experiments.result_form import MACHINE, Result
from gdw.files.documents import (
    Document,
    OutputLock,
    finite_or_null,
    require_format,
    write_text_atomically,
)
from gdw.files.yaml_files import read_yaml
from gdw.train.run_folder import CONFIG, RunFolder, append_line, require_no_link

FORMAT = 1
DOCUMENT = Document(FORMAT, remedy="remove its folder and run the grid again")
PROTOCOL = "protocol.yaml"
SITTINGS = "sittings.jsonl"
PLOTS = "plots"
CELL = "cell.json"
RESULT = "result.json"
FAILURE = "failed.json"

State = Literal["done", "failed", "started", "waiting"]


@dataclass(frozen=True)
class PartialRun:
    """How far a cell is that was started and has not finished.

    Attributes:
        curve: the test accuracy after each epoch so far; NaN where unknown.
        epochs: how many epochs there will be.
    """

    curve: tuple[float, ...]
    epochs: int


@dataclass(frozen=True)
class GridFolder:
    """The folder `path` with `protocol.yaml`, `cells/NAME/` (run folders), `data/`, and the results.

    A run folder of a cell also holds `cell.json` (its settings), and `result.json` or `failed.json`.
    """

    path: Path

    @property
    def data(self) -> Path:
        return self.path / "data"

    def cell(self, cell: Cell) -> Path:
        """The folder of `cell`; the one under its earlier name, if that is the one that exists."""
        folder = self.path / "cells" / cell.slug
        if cell.former_slug is not None and not folder.exists():
            former = folder.with_name(cell.former_slug)
            return former if former.exists() else folder
        return folder

    def state(self, cell: Cell) -> State:
        """Whether `cell` has finished, failed, been started, or is waiting."""
        folder = self.cell(cell)
        if (folder / RESULT).is_file():
            return "done"
        if (folder / FAILURE).is_file():
            return "failed"
        return "started" if (folder / CONFIG).is_file() else "waiting"

    def require_same(self, wanted: Mapping[Cell, CellSettings]) -> None:
        """Check that the cells that have run, or have been started, had the settings in `wanted`.

        A cell that failed may have other settings now; it starts again.

        Raises:
            RunError: a cell had other settings.
        """
        for cell, settings in wanted.items():
            if self.state(cell) not in ("done", "started"):
                continue
            changed = differences(read_cell(self.cell(cell))["settings"], settings.written)
            if changed:
                raise RunError(
                    f"{self.path} holds the cell {str(cell)!r} with other settings: {', '.join(changed)}; "
                    "restore them, rename the entry (new cells may be added), or choose another --output"
                )

    def start(self, cell: Cell, settings: CellSettings, *, threads: int | None) -> Path:
        """Write `cell.json`, which holds all that a process needs to run `cell`.

        Returns:
            The folder of the cell.
        """
        folder = self.cell(cell)
        has_failed = self.state(cell) != "started" and (folder / CELL).is_file()
        if has_failed and differences(read_cell(folder)["settings"], settings.written):
            # It failed with other settings; this run must not continue from its files.
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILURE).unlink(missing_ok=True)
        if (folder / CONFIG).is_file():
            _find_made_files(folder, settings)
        config = settings.config.plain()
        content = {
            "cell": cell.axes(),
            "settings": settings.written,
            "config": {section: config[section] for section in SECTIONS},
            "truth": settings.truth,
            "contender": settings.contender,
            "records_weights": settings.records_weights,
            "answers": settings.answers,
            "certificates": settings.certificates,
            "threads": threads,
        }
        DOCUMENT.write(folder / CELL, content)
        return folder

    def fail(self, cell: Cell, error: str, *, detail: str = "") -> None:
        """Record in one line why `cell` failed."""
        folder = self.cell(cell)
        folder.mkdir(parents=True, exist_ok=True)
        DOCUMENT.write(folder / FAILURE, {"error": one_line(error), "detail": detail})

    def failure(self, cell: Cell) -> str:
        """Why `cell` failed."""
        return str(DOCUMENT.read(self.cell(cell) / FAILURE).get("error", "unknown"))

    def result(self, cell: Cell) -> dict[str, Any]:
        """The content of `result.json` of a finished cell; None in place of numbers that are not finite."""
        path = self.cell(cell) / RESULT
        # gdw 0.1.0 wrote such numbers to the file.
        content = cast("dict[str, Any]", finite_or_null(DOCUMENT.read(path)))
        try:
            Result.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            raise DOCUMENT.damaged(
                path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            ) from error
        return content

    def progress(self, cell: Cell) -> PartialRun | None:
        """How far a cell is that was started; None if its files cannot be read.

        A damaged cell must not stop the results of the others; the run that continues it says what is wrong.
        """
        folder = self.cell(cell)
        try:
            curve = [record["test_accuracy"] for record in RunFolder(folder).history()]
            epochs = int(read_cell(folder)["config"]["training"]["epochs"])
        except (GDWError, ValueError, LookupError, AttributeError, TypeError):
            return None
        return PartialRun(tuple(math.nan if a is None else float(a) for a in curve), epochs)

    def lock(self) -> OutputLock:
        """Keep other processes from working on the grid.

        Raises:
            RunError: another process works on it, or a folder in it is a link.
            OutputError: the folder cannot be written.
        """
        cells = self.path / "cells"
        inside = [cells, self.data, self.path / PLOTS, *(cells.iterdir() if cells.is_dir() else ())]
        require_no_link(*inside)
        return OutputLock(self.path)

    def keep_protocol(self, protocol: Protocol) -> None:
        """Write `protocol` to `protocol.yaml`, for the results and for the reader."""
        self.path.mkdir(parents=True, exist_ok=True)
        content = {"format": FORMAT, "gdw_version": __version__, **protocol.model_dump()}
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        write_text_atomically(self.path / PROTOCOL, text)

    def protocol(self) -> Protocol:
        """The protocol of the last run.

        Raises:
            RunError: there is no protocol, it is damaged, or a newer version of gdw wrote it.
        """
        path = self.path / PROTOCOL
        try:
            content = read_yaml(path)
            number, version = int(content.pop("format")), content.pop("gdw_version", None)
        except FileNotFoundError:
            raise RunError(f"{self.path} holds no grid: expected {PROTOCOL} in it") from None
        except (
            OSError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            raise RunError(
                f"{path} is damaged ({one_line(error)}): run gdw experiment with the protocol file again"
            ) from error
        require_format(number, FORMAT, path, version=version)
        return Protocol(**content).check()

    def add_sitting(self, record: Mapping[str, Any]) -> None:
        """Add a record of one call of `gdw experiment`: when, how long, and on which machine it ran."""
        append_line(self.path / SITTINGS, record)

    def sittings(self) -> tuple[list[dict[str, Any]], int]:
        """The records of `add_sitting`, and how many lines cannot be read.

        A crash may leave such a line; the results need only the times from these records.
        """
        path = self.path / SITTINGS
        lines = path.read_bytes().splitlines() if path.is_file() else []
        records = [_sitting(line) for line in lines if line.strip()]
        readable = [record for record in records if record is not None]
        return readable, len(records) - len(readable)

    def unknown_cells(self, cells: Iterable[Cell]) -> list[str]:
        """The folders in `cells/` that belong to none of `cells`: an earlier protocol had them."""
        known = {self.cell(cell).name for cell in cells}
        parent = self.path / "cells"
        folders = [path.name for path in parent.iterdir()] if parent.is_dir() else []
        return sorted(name for name in folders if name not in known)


def _find_made_files(folder: Path, settings: CellSettings) -> None:
    """Write into the configuration of a run that goes on where the files are that were made for the grid.

    The folder of the grid may have been moved. The run itself says so if its configuration is damaged.
    """
    places = {
        option: getattr(settings.config.data, option)
        for option, written in settings.written["data"].items()
        if str(written).startswith(MADE)
    }
    with suppress(GDWError, LookupError, TypeError, AttributeError):
        content = RunFolder(folder).config
        if not places.items() <= content["data"].items():
            content["data"].update(places)
            text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
            write_text_atomically(folder / CONFIG, text)


def read_cell(folder: Path) -> dict[str, Any]:
    """The content of `cell.json` in the folder of a cell."""
    content = DOCUMENT.read(folder / CELL)
    for name in ("cell", "settings", "config"):
        if not isinstance(content.get(name), dict):
            raise DOCUMENT.damaged(folder / CELL, f"it has no {name!r}")
    return content


def _sitting(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
        complete = float(record["seconds"]) >= 0 and int(record["jobs"]) > 0 and record["cores"] > 0
        if "machine" in record:
            MACHINE.validate_python(record["machine"])
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None
    return record if complete else None
