"""The values of the page's template."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from gdw.errors import DataError
from gdw.files.svg import as_svg
from gdw.report.advice import advice
from gdw.report.certified import certified, plot_relabelled
from gdw.report.example_problems import (
    KINDS,
    Partner,
    examples_of_page,
    partners,
    problems_of,
    sentences,
)
from gdw.report.heatmaps import confusions, most_classes, plot_class_weights, plot_noise_matrix
from gdw.report.performance import MEASURES, MOST_ROWS, Performance, class_rows, performance
from gdw.report.plots import MOST_BARS, plot_history, plot_issues_by_class, plot_reliability
from gdw.report.previews import Preview, previews
from gdw.report.review import review
from gdw.report.style import NARROW, WIDE
from gdw.runs.decisions import Settled, settled
from gdw.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SHOWN_ISSUES = 200
_SHOWN_CONFUSIONS = 15
_SAME_WEIGHT = 1e-6


def contents(
    run: Run, baseline: Run | None, *, data: str | None = None, examples: int = SHOWN_ISSUES
) -> dict[str, Any]:
    """All values of `page.html.j2`. What a run does not have is None, and the page says so.

    Args:
        run: the run.
        baseline: a run to compare with.
        data: where the training data are now, if they were moved.
        examples: the page shows at most so many of the examples with the most suspicious labels.
    """
    measured = performance(run)
    compared = None if baseline is None else performance(baseline)
    classes = len(run.label_names)
    decided = None if run.issues is None else settled(run, run.issues)
    return {
        "run": run.path,
        "baseline": None if baseline is None else baseline.path,
        "config": run.config,
        "kind": run.schema.kind,
        "classes": classes,
        "epochs_done": len(run.history),
        "audit": _audit(run),
        "certified": certified(run.audit),
        "measured": measured,
        "compared": compared,
        "measures": _measures(measured, compared),
        "pictures": _pictures(run, baseline),
        "class_rows": class_rows(run, measured, compared)[:MOST_ROWS],
        "class_rows_left": max(0, classes - MOST_ROWS),
        "most_rows": MOST_ROWS,
        "most_bars": MOST_BARS,
        "most_classes": most_classes(WIDE),
        "most_classes_on_phone": most_classes(NARROW),
        "confusions": _confusions(run),
        "one_weight_per_example": _one_weight_per_example(run),
        **_examples(run, data, examples, decided),
        "advice": advice(
            run,
            measured=measured is not None,
            compared=compared is not None,
            data=data,
            decided=decided,
        ),
    }


def _examples(run: Run, data: str | None, examples: int, decided: Settled | None) -> dict[str, Any]:
    """What the page says about the examples with the most suspicious labels, and about their decisions."""
    top = None if run.issues is None else examples_of_page(run.issues, examples)
    issues, problem = _issues(run, data or run.data_config.path, top, decided)
    return {
        "issues": issues,
        "issue_labels": sorted({row["given"] for row in issues} | {r["suggested"] for r in issues}),
        **_problems(run, issues),
        "ranked_here": 0 if run.issues is None else min(examples, len(run.issues)),
        "preview_problem": problem,
        "flagged_here": sum(row["flagged"] for row in issues),
        "decided": decided,
        "review": None if top is None else review(run, top, data=data, decided=decided),
        "examples_ranked": None if run.issues is None else len(run.issues),
    }


def _problems(run: Run, issues: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page says about the examples themselves."""
    leaks, others = sentences(run)
    found = {kind for row in issues for kind in row["problems"]}
    return {
        "problem_kinds": {kind: name for kind, name in KINDS.items() if kind in found},
        "leaks": leaks,
        "other_problems": others,
    }


def _audit(run: Run) -> dict[str, Any] | None:
    """The content of `audit.json`; an audit of an earlier version has no assessment."""
    if run.audit is None or run.audit.get("assessment") is not None:
        return run.audit
    reason = "an earlier version of gdw made this audit; run gdw audit again"
    unknown = {"level": "unproven", "reason": reason, "wrong_low": None, "wrong_high": None}
    return {**run.audit, "assessment": unknown}


def _pictures(run: Run, baseline: Run | None) -> dict[str, dict[str, Markup] | None]:
    """Each plot as an SVG element for a wide page and one for a phone; None if the run has no data for it."""
    other = None if baseline is None else baseline.history
    evaluation, audit = run.evaluation or {}, run.audit or {}
    sure = certified(run.audit)
    return {
        "history": _draw("history", run.history or None, partial(plot_history, baseline=other)),
        "reliability": _draw(
            "reliability", evaluation if "reliability" in evaluation else None, plot_reliability
        ),
        "noise": _draw("noise", run.noise_matrix, plot_noise_matrix),
        "weights": _draw("weights", run.class_weights, plot_class_weights),
        "relabelled": _draw("relabelled", sure and sure.relabelled, plot_relabelled),
        "wrong_labels": _draw("wrong_labels", audit.get("by_class"), plot_issues_by_class),
    }


def _draw(name: str, data: Any, plot: Callable[..., Figure]) -> dict[str, Markup] | None:
    if data is None:
        return None
    # Matplotlib has escaped all text in the picture.
    return {
        size: Markup(as_svg(plot(data, width=width), f"{name}-{size}"))
        for size, width in (("wide", WIDE), ("narrow", NARROW))
    }


def _measures(
    measured: Performance | None, compared: Performance | None
) -> list[tuple[str, str, str]]:
    """Rows of the name of a measure, its value, and the value of the baseline."""
    if measured is None:
        return []
    others = {} if compared is None else compared.figures
    return [
        (title, _figure(name, measured.figures[name]), _figure(name, others.get(name)))
        for name, title in MEASURES.items()
        if name in measured.figures
    ]


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name.endswith("accuracy"):
        return f"{value * 100:.2f}%"
    return f"{value * 100:.1f} points" if name == "ece" else f"{value:.3f} nats"


def _one_weight_per_example(run: Run) -> bool:
    """Whether the mean weights are the same for all classes, as those of methods that weigh examples."""
    if run.class_weights is None:
        return False
    return bool((np.ptp(run.class_weights.weights, axis=1) < _SAME_WEIGHT).all())


def _confusions(run: Run) -> list[dict[str, Any]] | None:
    if run.noise_matrix is None:
        return None
    rows: list[dict[str, Any]] = []
    for row in confusions(run.noise_matrix, limit=_SHOWN_CONFUSIONS).to_dict("records"):
        known = row["low"] == row["low"]  # NaN differs from itself
        rows.append(
            {
                "true": row["true_label"],
                "given": row["given_label"],
                "probability": row["probability"],
                "interval": (row["low"], row["high"]) if known else None,
            }
        )
    return rows


def _issues(
    run: Run, data: str, top: pd.DataFrame | None, decided: Settled | None
) -> tuple[list[dict[str, Any]], str | None]:
    """The first rows of the list of issues, and why their examples cannot be shown, or None."""
    if top is None:
        return [], None
    shown, problem, companions = _previews(run, data, top)
    rows = [
        {
            "rank": rank,
            "where": row["where"],
            "given": row["given_label"],
            "suggested": row["suggested_label"],
            "probability": row["suggested_probability"],
            "score": row["score"],
            "flagged": bool(row["is_label_issue"]),
            "decision": None if decided is None else decided.label(int(row["index"])),
            "preview": preview,
            "problems": problems_of(row),
            "image_problem": row["image_problem"],
            "near_duplicate_of": row["near_duplicate_of"],
            "partner": companions.get(row["where"]),
        }
        for rank, (row, preview) in enumerate(
            zip(top.to_dict("records"), shown, strict=True), start=1
        )
    ]
    return rows, problem


def _previews(
    run: Run, data: str, top: pd.DataFrame
) -> tuple[list[Preview | None], str | None, dict[str, Partner]]:
    """The examples, why they cannot be shown, or None, and their near-duplicates by place."""
    nothing: list[Preview | None] = [None] * len(top)
    try:
        source = run.schema.load(data, label=None, options=run.data_config.read_options)
    except DataError as error:
        return nothing, str(error), partners(run, top, None)
    shown: list[Preview | None] = list(previews(source, list(top["where"])))
    missing = [preview for preview in shown if preview is not None and preview.problem]
    if missing and len(missing) == len(shown):
        return nothing, f"{data} does not hold these examples", partners(run, top, None)
    return shown, None, partners(run, top, source)
