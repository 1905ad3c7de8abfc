"""`report.html`: one file that opens anywhere, without a network."""

from __future__ import annotations

import base64
import hashlib
import math
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from gdw._version import __version__
from gdw.errors import ConfigError
from gdw.files.atomic import write_text_atomically
from gdw.report.contents import contents
from gdw.report.folder import RunParts
from gdw.report.measure import measure

REPORT = "report.html"


def write_report(
    run: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
    test: str | None = None,
    test_label: str | None = None,
    baseline: str | os.PathLike[str] | None = None,
    data: str | None = None,
) -> Path:
    """Write a page about the run folder `run` for people; returns its path.

    Args:
        run: the folder; what it lacks (an audit, say) is said in the page.
        output: the file, `report.html` in the run folder by default; an earlier page is replaced.
        test: labelled data to measure the model on first, and that of `baseline`; the figures are kept
            as `evaluation.json` in each run folder.
        test_label: its label column.
        baseline: the folder of another run to compare with, such as plain training on the same data.
        data: where the training data are now, if they were moved; only the examples shown are read.

    Raises:
        ConfigError: an output that is no page.
        RunError: no run there, or a damaged file in it.
        DataError: test data that do not fit.
    """
    parts = RunParts(run)
    other = None if baseline is None else RunParts(baseline)
    path = parts.run.file(REPORT) if output is None else Path(output)
    _check(path)
    if test is not None:
        for one in (parts, other):
            if one is not None:
                measure(one.run, test, label=test_label)
    page = _render(contents(parts, other, data=data))
    write_text_atomically(path, page)
    return path


def _check(path: Path) -> None:
    if path.suffix.lower() not in (".html", ".htm") or path.is_dir():
        raise ConfigError(f"{path} is no name for a page: expected one ending in .html")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent}: make it, or choose another")


def _render(values: dict[str, Any]) -> str:
    import jinja2
    from markupsafe import Markup

    here = files("gdw.report")
    style, script = (
        Markup(here.joinpath(name).read_text(encoding="utf-8")) for name in ("page.css", "page.js")
    )
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gdw.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=_percent, number=_number)
    return environment.get_template("page.html.j2").render(
        **values, style=style, script=script, script_sum=_sum(script), version=__version__
    )


def _sum(script: str) -> str:
    """The sum that lets a browser run this script and no other, should a label ever leave its place."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None or math.isnan(value) else f"{value * 100:.{digits}f}%"


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
