"""Whatever the bytes in a file of a grid are: its results, or one line."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gdw.errors import GDWError, RunError
from gdw.experiments.grid_folder import GridFolder
from gdw.experiments.publish import publish
from gdw.experiments.result_pages import facts, markdown
from gdw.experiments.results import Results
from tests.experiments.made_up_grids import MACHINE, TWO_BY_THREE, made_up
from tests.runs.test_damaged import _cut, _json, _lines, _yaml


def test_files_of_a_grid(tmp_path: Path) -> None:
    grid = made_up(tmp_path, TWO_BY_THREE).folder
    for seconds in (3.0, 4.0):
        sitting = {"seconds": seconds, "jobs": 1, "cores": 2, "machine": MACHINE}
        grid.add_sitting(sitting)
    done = next((tmp_path / "cells").glob("*/result.json"))
    failed = next((tmp_path / "cells").glob("*/failed.json"))
    changes = {
        done: _json,
        failed: _json,
        tmp_path / "sittings.jsonl": _lines,
        tmp_path / "protocol.yaml": _yaml,
    }
    for path, change in changes.items():
        content = path.read_bytes()
        for number in range(30):
            rng = random.Random(f"{path.name} {number}")
            path.write_bytes((change if number % 3 else _cut)(content, rng))
            try:
                results = Results(GridFolder(tmp_path))
                facts(results)
                markdown(results)
            except GDWError as error:
                lines = str(error).splitlines()
                assert len(lines) == 1, lines
        path.write_bytes(content)


def test_folders_in_a_grid_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    results = made_up(tmp_path / "grid", TWO_BY_THREE)
    (tmp_path / "mine").mkdir()
    precious = tmp_path / "mine" / "curves-none.svg"
    precious.write_text("mine")
    (tmp_path / "grid" / "plots").symlink_to(tmp_path / "mine", target_is_directory=True)
    with pytest.raises(RunError, match="plots is a link"):
        publish(results)
    with pytest.raises(RunError, match="plots is a link"):
        results.folder.lock()
    assert precious.read_text() == "mine"
    (tmp_path / "grid" / "plots").unlink()
    (tmp_path / "grid" / "sittings.jsonl").symlink_to(precious)
    with pytest.raises(GDWError, match=r"sittings.jsonl: .*it is a link"):
        results.folder.add_sitting({"seconds": 1.0, "jobs": 1, "cores": 1})
    assert precious.read_text() == "mine"
