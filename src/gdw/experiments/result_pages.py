"""The results of a grid as one self-contained HTML page and as Markdown."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gdw.experiments.cells import Cell
from gdw.experiments.plots import pictures
from gdw.experiments.protocol import PLACEHOLDER
from gdw.experiments.result_tables import group_tables, unfinished_table
from gdw.experiments.results import Results
from gdw.experiments.tables import Entry, Table
from gdw.report.style import NARROW

Fact = tuple[str, str]


def facts(results: Results) -> list[Fact]:
    """How the tables were made, as pairs of a name and a text: command, runs, seeds, time, hardware."""
    counts = {"failed": len(results.errors), "started": len(results.started)}
    state = f"{len(results.results)} of {len(results.cells)} done" + "".join(
        f", {count} {name}" for name, count in counts.items() if count
    )
    seeds = sorted({cell.seed for cell in results.cells})
    return [
        ("command", _command(results)),
        ("runs", state),
        ("seeds", ", ".join(map(str, seeds))),
        ("time", _time(results)),
        *(("hardware", text) for text in machines(results)),
        *_accuracy_fact(results),
        *([("needs", results.protocol.needs)] if results.protocol.needs else []),
    ]


def machines(results: Results) -> list[str]:
    """Each machine and set of versions that the runs used, in one line each."""
    sittings, _ = results.folder.sittings()
    cores = max((sitting["cores"] for sitting in sittings), default=None)
    cores_text = "" if cores is None else f", {cores} cores"
    of_results = [result["machine"] for result in results.results.values()]
    of_sittings = [sitting["machine"] for sitting in sittings if "machine" in sitting]
    texts = [
        f"{_card(machine)}{machine['processor']}{cores_text}, {machine['threads']} thread(s) per run, "
        f"PyTorch {machine['torch']}, Python {machine['python']}, gdw {machine['gdw']}"
        for machine in of_results or of_sittings
    ]
    return list(dict.fromkeys(texts))


def _card(machine: Mapping[str, Any]) -> str:
    return f"{machine['card']}, " if machine.get("card") else ""


def write_page(results: Results, path: Path) -> None:
    """Write one HTML file with all tables and pictures; every text in it is escaped."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gdw.experiments", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("results.html.j2").render(
        protocol=results.protocol,
        facts=facts(results),
        tables=list(_tables(results)),
        pictures=[
            (title, Markup(wide), Markup(narrow))
            for (_, title, wide), (*_, narrow) in zip(
                pictures(results), pictures(results, width=NARROW), strict=True
            )
        ],
        failures=_failures(results),
    )
    path.write_text(page, encoding="utf-8")


def markdown(results: Results, *, level: int = 1, linked: Sequence[tuple[str, str]] = ()) -> str:
    """The same as Markdown.

    Args:
        results: the results of a grid.
        level: of the first heading.
        linked: a title and a path for each picture that the page links to.
    """
    protocol = results.protocol
    lines = [f"{'#' * level} {_cell(protocol.name)}", ""]
    if protocol.about:
        lines += [_cell(protocol.about), ""]
    lines += [f"- {name}: {_cell(text)}" for name, text in facts(results)] + [""]
    for table in _tables(results):
        lines += _markdown_table(table, level + 1)
    for title, path in linked:
        lines += [f"![{_cell(title)}]({path})", ""]
    failures = _failures(results)
    if failures:
        lines += [f"{'#' * (level + 1)} Failed", ""]
        lines += [f"- {_cell(name)}: {_cell(error)}" for name, error in failures] + [""]
    return "\n".join(lines)


def _tables(results: Results) -> Iterator[Table]:
    for group in results.groups():
        yield from group_tables(results, group)
    unfinished = unfinished_table(results)
    if unfinished is not None:
        yield unfinished


def _failures(results: Results) -> list[tuple[str, str]]:
    """Cells and why they failed; those with the same error share an entry."""
    by_error: dict[str, list[Cell]] = {}
    for cell, error in results.errors.items():
        by_error.setdefault(error, []).append(cell)
    return [
        (str(cells[0]) + (f" and {len(cells) - 1} more" if len(cells) > 1 else ""), error)
        for error, cells in by_error.items()
    ]


def _markdown_table(table: Table, level: int) -> list[str]:
    lines = [f"{'#' * level} {_cell(table.title)}", ""]
    lines.append("| " + " | ".join(map(_cell, table.header)) + " |")
    lines.append("|" + "---|" + "---:|" * (len(table.header) - 1))
    lines += ["| " + " | ".join(map(_entry, row)) + " |" for row in table.rows]
    return [*lines, "", *([table.note, ""] if table.note else [])]


def _entry(entry: Entry) -> str:
    text = _cell(entry.text)
    return f"**{text}**" if entry.best else text


def _cell(text: str) -> str:
    """`text` on one line, without characters that end a table cell or start HTML."""
    plain = " ".join(text.split()).replace("|", "\\|")
    return plain.replace("<", "&lt;").replace(">", "&gt;")


def _command(results: Results) -> str:
    paths = repr((results.protocol.base, results.protocol.data))
    root = " --data-root DIR" if PLACEHOLDER in paths else ""
    return f"gdw experiment {shlex.quote(results.protocol.name)}{root} --output DIR"


def _time(results: Results) -> str:
    """How long the grid ran: by the clock, and summed over runs."""
    sittings, unreadable = results.folder.sittings()
    hours = sum(sitting["seconds"] for sitting in sittings) / 3600
    run_hours = sum(result["seconds"] for result in results.results.values()) / 3600
    jobs = sorted({sitting["jobs"] for sitting in sittings})
    at_a_time = f", {' or '.join(map(str, jobs))} at a time" if jobs else ""
    missing = f"; {unreadable} damaged line(s) of sittings.jsonl not counted" if unreadable else ""
    runs = len(results.results)
    killed = runs - sum(sitting.get("cells", runs) for sitting in sittings)
    if killed > 0:
        missing += f"; the clock lacks sittings that were killed, with {killed:,} runs"
    return f"{_hours(hours)} (sum over runs {_hours(run_hours)}{at_a_time}){missing}"


def _accuracy_fact(results: Results) -> list[Fact]:
    if not results.results or results.protocol.certificates is not None:
        return []
    counts: set[Any] = {result["averaged_epochs"] for result in results.results.values()}
    epochs = " or ".join(map(str, sorted(counts)))
    text = (
        f"mean of the last {epochs} epochs, never of the best one; ± standard deviation over seeds"
    )
    return [("accuracy", text)]


def _hours(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
