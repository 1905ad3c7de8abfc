"""The folder of a grid: which cells it holds, what became of them, and on which settings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from gdw.errors import RunError
from gdw.experiments.cells import Cell
from gdw.experiments.protocol import Protocol
from gdw.experiments.settings import CellSettings, differences
from gdw.files.atomic import write_text_atomically
from gdw.train.run_folder import CONFIG

FORMAT = 1
PROTOCOL = "protocol.yaml"
SITTINGS = "sittings.jsonl"
CELL = "cell.json"
RESULT = "result.json"
FAILURE = "failed.json"

State = Literal["done", "failed", "begun", "waiting"]


@dataclass(frozen=True)
class GridFolder:
    """`protocol.yaml`, `cells/NAME/` (run folders with `cell.json`, `result.json`), `data/`, results."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / "data"

    def cell(self, cell: Cell) -> Path:
        return self.path / "cells" / cell.slug

    def state(self, cell: Cell) -> State:
        """What became of `cell` so far."""
        folder = self.cell(cell)
        if (folder / RESULT).is_file():
            return "done"
        if (folder / FAILURE).is_file():
            return "failed"
        return "begun" if (folder / CONFIG).is_file() else "waiting"

    def require_same(self, wanted: Mapping[Cell, CellSettings]) -> None:
        """`RunError` if a cell that has run, or begun to, had other settings than those of `wanted`.

        One that failed may be put right: it starts anew.
        """
        for cell, settings in wanted.items():
            if self.state(cell) not in ("done", "begun"):
                continue
            changed = differences(_read(self.cell(cell) / CELL)["settings"], settings.written)
            if changed:
                raise RunError(
                    f"{self.path} holds the cell {str(cell)!r} with other settings: {', '.join(changed)}; "
                    "put them back, rename the entry (new cells may be added), or choose another --output"
                )

    def begin(self, cell: Cell, settings: CellSettings, *, threads: int | None) -> Path:
        """The cell's folder with all that a process needs to run it in `cell.json`."""
        folder = self.cell(cell)
        known = _read(folder / CELL)["settings"] if (folder / CELL).is_file() else settings.written
        if known != settings.written and self.state(cell) != "begun":
            # It failed on other settings: what it left is no beginning of this run.
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FAILURE).unlink(missing_ok=True)
        config = settings.config.plain()
        content = {
            "format": FORMAT,
            "cell": asdict(cell),
            "settings": settings.written,
            "config": {section: config[section] for section in ("data", "model", "training")},
            "truth": settings.truth,
            "threads": threads,
        }
        write_json(folder / CELL, content)
        return folder

    def fail(self, cell: Cell, error: str, *, detail: str = "") -> None:
        """Record in one line why `cell` could not be run."""
        self.cell(cell).mkdir(parents=True, exist_ok=True)
        line = " ".join(error.split())
        write_json(self.cell(cell) / FAILURE, {"format": FORMAT, "error": line, "detail": detail})

    def failure(self, cell: Cell) -> str:
        """Why it failed."""
        return str(_read(self.cell(cell) / FAILURE)["error"])

    def result(self, cell: Cell) -> dict[str, Any]:
        """What a finished cell left."""
        return _read(self.cell(cell) / RESULT)

    def keep_protocol(self, protocol: Protocol) -> None:
        """Write the protocol as it is now, for the results and for the reader."""
        self.path.mkdir(parents=True, exist_ok=True)
        content = {"format": FORMAT, **protocol.model_dump()}
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        write_text_atomically(self.path / PROTOCOL, text)

    def protocol(self) -> Protocol:
        """The protocol that was run last. Raises `RunError` when there is none, or it is damaged."""
        path = self.path / PROTOCOL
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            number = int(content.pop("format"))
        except FileNotFoundError:
            raise RunError(f"{self.path} holds no grid: expected {PROTOCOL} in it") from None
        except (
            OSError,
            yaml.YAMLError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            raise RunError(f"{path} is damaged ({' '.join(str(error).split())})") from error
        if number > FORMAT:
            raise RunError(
                f"{path} has format {number}, this gdw reads up to {FORMAT}: upgrade gdw"
            )
        return Protocol(**content).check()

    def add_sitting(self, record: Mapping[str, Any]) -> None:
        """Remember how long the grid was worked on, and how."""
        with (self.path / SITTINGS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(record)) + "\n")

    def sittings(self) -> list[dict[str, Any]]:
        """One record for each time the grid was worked on."""
        path = self.path / SITTINGS
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def strangers(self, cells: Iterable[Cell]) -> list[str]:
        """Folders of cells that are none of `cells`: left by an earlier form of the protocol."""
        own = {cell.slug for cell in cells}
        parent = self.path / "cells"
        found = [path.name for path in parent.iterdir()] if parent.is_dir() else []
        return sorted(name for name in found if name not in own)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write all of `content` or nothing."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_text_atomically(path, text)


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        number = int(content["format"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise RunError(
            f"{path} is damaged ({error}): remove its folder and run the grid again"
        ) from error
    if number > FORMAT:
        raise RunError(f"{path} has format {number}, this gdw reads up to {FORMAT}: upgrade gdw")
    return content


def read_cell(folder: Path) -> dict[str, Any]:
    """What `begin` wrote into `folder`."""
    return _read(folder / CELL)
