"""Write the results of a grid beside its cells: Markdown, HTML, CSV, JSON and pictures."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from itertools import permutations
from pathlib import Path
from typing import Any

from gdw.experiments.cells import AXES
from gdw.experiments.page import facts, markdown, write_page
from gdw.experiments.plots import pictures
from gdw.experiments.results import Results, mean_ranks
from gdw.experiments.significance import compare
from gdw.experiments.tables import FIGURES
from gdw.files.atomic import write_atomically, write_text_atomically

_COLUMNS = (
    *(figure.name for figure in FIGURES),
    "wrong_labels",
    "train_examples",
    "clean_examples",
    "averaged_epochs",
)


def publish(results: Results) -> list[Path]:
    """Write `results.md`, `.html`, `.csv`, `.json` and `plots/*.svg` into the grid's folder."""
    folder = results.folder.path
    plots = folder / "plots"
    plots.mkdir(exist_ok=True)
    written = []
    for name, _, svg in pictures(results):
        write_text_atomically(plots / f"{name}.svg", svg)
    for suffix, text in (("md", markdown(results)), ("json", _json(results))):
        write_text_atomically(folder / f"results.{suffix}", text)
        written.append(folder / f"results.{suffix}")
    for name, write in (("results.csv", _write_csv), ("results.html", write_page)):
        write_atomically(folder / name, lambda path, write=write: write(results, path))  # type: ignore[misc]
        written.append(folder / name)
    return written


def _write_csv(results: Results, path: Path) -> None:
    """One line a cell of the protocol, run or not."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((*AXES, "state", *_COLUMNS, "error"))
        for cell in results.cells:
            result: dict[str, Any] = results.results.get(cell, {})
            axes = [asdict(cell)[axis] for axis in AXES]
            figures = [result.get(name) for name in _COLUMNS]
            state = results.folder.state(cell)
            writer.writerow((*axes, state, *figures, results.errors.get(cell)))


def _json(results: Results) -> str:
    groups = []
    for group in results.groups():
        ranks, counted = mean_ranks(results, group)
        scores = [
            {
                **asdict(setting),
                "method": method,
                **{f.name: _summary(results.score(setting, method, f.name)) for f in FIGURES},
            }
            for setting in group.settings
            for method in group.methods
        ]
        paired = [
            {"method": one, "against": other, **asdict(compare(results.pairs(group, one, other)))}
            for one, other in permutations(group.methods, 2)
        ]
        groups.append(
            {"scores": scores, "mean_rank": ranks, "ranked_settings": counted, "paired": paired}
        )
    content = {
        "format": 1,
        "protocol": results.protocol.name,
        "facts": facts(results),
        "groups": groups,
        "failed": [{**asdict(cell), "error": error} for cell, error in results.errors.items()],
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def _summary(score: Any) -> dict[str, Any]:
    return {**asdict(score), "mean": score.mean, "spread": score.spread}
