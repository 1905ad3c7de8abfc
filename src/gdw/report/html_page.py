"""`report.html`: one self-contained file that opens without a network."""

from __future__ import annotations

import base64
import hashlib
import math
import os
from importlib.resources import files
from pathlib import Path
from typing import Any

from gdw._version import __version__
from gdw.errors import ConfigError, OutputError, RunError
from gdw.files.documents import write_text_atomically
from gdw.report.contents import SHOWN_ISSUES, contents
from gdw.runs.evaluating import evaluate_file
from gdw.runs.outputs import REPORT, output_of_run
from gdw.runs.run import Run, load

_SUFFIXES = (".html", ".htm")


def write_report(
    run: str | os.PathLike[str] | Run,
    *,
    output: str | os.PathLike[str] | None = None,
    test: str | None = None,
    test_label: str | None = None,
    baseline: str | os.PathLike[str] | Run | None = None,
    data: str | None = None,
    skip_broken: bool | None = None,
    examples: int = SHOWN_ISSUES,
    force: bool = False,
) -> Path:
    """Write a page about a run: its model, its classes, its suspicious labels and what to do next.

    The page says what the run lacks, for example an audit, and which command adds it. It holds small copies
    of the pictures that the data name, in whatever folder they are: look at it before you share it.

    Args:
        run: a run or its folder.
        output: the HTML file; by default `report.html` in the run folder, where an earlier page is replaced.
        test: labelled data on which the model, and that of `baseline`, are measured first. The figures are
            kept as `evaluation.json` in the run folders.
        test_label: the label column of `test`.
        baseline: another run to compare with, such as plain training on the same data.
        data: where the training data are now, if they were moved. The page shows examples from them.
        skip_broken: leave out images of `test` that cannot be read; default: as in training.
        examples: the page shows this many examples, those whose label is most likely wrong. Decisions on the
            page are about these only.
        force: overwrite the file `output` if it exists.

    Returns:
        The path of the page.

    Raises:
        ConfigError: `examples` is below 1, or `output` does not end in .html, exists, or its folder does not
            exist.
        OutputError: the page cannot be written.
        RunError: there is no run, or one of its files is damaged.
        DataError: the test data do not fit the model.

    Example:
        >>> gdw.report.write_report("runs/animals", test="holdout.csv")  # doctest: +SKIP
        PosixPath('runs/animals/report.html')
    """
    if examples < 1:
        raise ConfigError(f"examples must be at least 1, found {examples}")
    run = load(run)
    other = None if baseline is None else load(baseline)
    path = run.folder.file(REPORT)
    if output is not None and Path(output).absolute() != path.absolute():
        path, reads = Path(output), [test, data, *_pages(other)]
    else:
        output, reads = None, []
    with output_of_run(run, output, suffixes=_SUFFIXES, reads=reads, force=force):
        if test is not None:
            for measured in filter(None, (run, other)):
                evaluate_file(measured, test, label=test_label, skip_broken=skip_broken)
        page = _render(contents(run, other, data=data, examples=examples))
        try:
            write_text_atomically(path, page)
        except OutputError as error:
            raise RunError(
                f"{error}; with --output FILE.html (output=...) it can be elsewhere"
            ) from error
    return path


def _pages(other: Run | None) -> list[Path]:
    return [] if other is None else [other.folder.file(REPORT)]


def _render(values: dict[str, Any]) -> str:
    import jinja2
    from markupsafe import Markup

    folder = files("gdw.report")
    style, sorting, review = (
        Markup(folder.joinpath(name).read_text(encoding="utf-8"))
        for name in ("page.css", "page.js", "review.js")
    )
    script = sorting + review
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gdw.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=_percent, number=_number, confidence=_confidence)
    return environment.get_template("page.html.j2").render(
        **values, style=style, script=script, script_sum=_checksum(script), version=__version__
    )


def _checksum(script: str) -> str:
    """The checksum by which the browser runs this script and no other, even one in a label."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None or math.isnan(value) else f"{value * 100:.{digits}f}%"


def _confidence(value: float) -> str:
    """A probability that is not called certain."""
    return "over 99%" if value > 0.99 else f"{value:.0%}"


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"
