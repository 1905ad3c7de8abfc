"""What stands in the page, as plain values for its template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from gdw.errors import DataError
from gdw.files.svg import as_svg
from gdw.report.advice import advice
from gdw.report.bars import MOST_BARS, plot_issues_by_class
from gdw.report.classes import MOST_ROWS, class_rows
from gdw.report.curves import plot_history
from gdw.report.folder import RunParts
from gdw.report.matrices import MOST_CLASSES, confusions, plot_class_weights, plot_noise_matrix
from gdw.report.performance import MEASURES, Performance, performance
from gdw.report.previews import Preview, previews
from gdw.report.reliability import plot_reliability

if TYPE_CHECKING:
    import pandas as pd

SHOWN_ISSUES = 200
_SHOWN_CONFUSIONS = 15


def contents(parts: RunParts, other: RunParts | None, *, data: str | None = None) -> dict[str, Any]:
    """All values of `page.html.j2`: what is missing is None there, and the page says so."""
    measured = performance(parts)
    compared = None if other is None else performance(other)
    classes = len(parts.label_names)
    rows = class_rows(parts.label_names, parts.audit, measured, compared)
    issues, trouble = _issues(parts, data or parts.config.data.path)
    return {
        "run": parts.path,
        "baseline": None if other is None else other.path,
        "config": parts.config,
        "kind": parts.schema.kind,
        "classes": classes,
        "epochs_done": len(parts.history),
        "audit": parts.audit,
        "measured": measured,
        "compared": compared,
        "measures": _measures(measured, compared),
        "pictures": _pictures(parts, other),
        "class_rows": rows[:MOST_ROWS],
        "class_rows_left": max(0, classes - MOST_ROWS),
        "most_bars": MOST_BARS,
        "most_classes": MOST_CLASSES,
        "confusions": _confusions(parts),
        "issues": issues,
        "issue_labels": sorted({row["given"] for row in issues} | {r["suggested"] for r in issues}),
        "preview_trouble": trouble,
        "examples_ranked": None if parts.issues is None else len(parts.issues),
        "has_evidence": parts.class_weights is not None,
        "advice": advice(parts, measured=measured is not None, compared=compared is not None),
    }


def _pictures(parts: RunParts, other: RunParts | None) -> dict[str, Markup | None]:
    made: dict[str, Any] = dict.fromkeys(
        ("history", "reliability", "noise", "weights", "suffering")
    )
    if parts.history:
        earlier = other.history if other is not None else None
        made["history"] = plot_history(parts.history, baseline=earlier)
    if parts.evaluation is not None and "reliability" in parts.evaluation:
        made["reliability"] = plot_reliability(parts.evaluation)
    if parts.noise_matrix is not None:
        made["noise"] = plot_noise_matrix(parts.noise_matrix)
    if parts.class_weights is not None:
        made["weights"] = plot_class_weights(parts.class_weights)
    if parts.audit is not None:
        made["suffering"] = plot_issues_by_class(parts.audit["by_class"])
    # Matplotlib escapes all text in what it draws.
    return {
        name: None if figure is None else Markup(as_svg(figure, name))
        for name, figure in made.items()
    }


def _measures(
    measured: Performance | None, compared: Performance | None
) -> list[tuple[str, str, str]]:
    """Rows of name, figure and the baseline's figure."""
    if measured is None:
        return []
    rows = []
    for name, title in MEASURES.items():
        if name in measured.figures:
            theirs = None if compared is None else compared.figures.get(name)
            rows.append((title, _figure(name, measured.figures[name]), _figure(name, theirs)))
    return rows


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value * 100:.2f}%" if name.endswith("accuracy") else f"{value:.4f}"


def _confusions(parts: RunParts) -> list[dict[str, Any]] | None:
    if parts.noise_matrix is None:
        return None
    rows: list[dict[str, Any]] = []
    for row in confusions(parts.noise_matrix, limit=_SHOWN_CONFUSIONS).to_dict("records"):
        known = row["low"] == row["low"]  # a missing number is unlike itself
        rows.append(
            {
                "true": row["true_label"],
                "given": row["given_label"],
                "probability": row["probability"],
                "interval": (row["low"], row["high"]) if known else None,
            }
        )
    return rows


def _issues(parts: RunParts, data: str) -> tuple[list[dict[str, Any]], str | None]:
    """The rows of the list, and why there is nothing to see of them, if so."""
    if parts.issues is None:
        return [], None
    top = parts.issues.head(SHOWN_ISSUES)
    shown, trouble = _previews(parts, data, top)
    rows = [
        {
            "rank": rank,
            "where": row["where"],
            "given": row["given_label"],
            "suggested": row["suggested_label"],
            "probability": row["suggested_probability"],
            "score": row["score"],
            "flagged": bool(row["is_label_issue"]),
            "preview": preview,
        }
        for rank, (row, preview) in enumerate(
            zip(top.to_dict("records"), shown, strict=True), start=1
        )
    ]
    return rows, trouble


def _previews(
    parts: RunParts, data: str, top: pd.DataFrame
) -> tuple[list[Preview | None], str | None]:
    nothing: list[Preview | None] = [None] * len(top)
    try:
        source = parts.schema.load(data, label=None)
    except DataError as error:
        return nothing, str(error)
    found: list[Preview | None] = list(previews(source, list(top["where"])))
    missing = [preview for preview in found if preview is not None and preview.trouble]
    if missing and len(missing) == len(found):
        return nothing, f"{data} does not hold these examples"
    return found, None
