"""Results as tables of text, the same for Markdown and HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gdw.experiments.results import Group, Results, Score, mean_ranks, reference_of
from gdw.experiments.significance import FEWEST, Comparison, compare, holm


@dataclass(frozen=True)
class Entry:
    """A cell of a table; the best of its column, a failure, or neither."""

    text: str
    best: bool = False
    failed: bool = False


@dataclass(frozen=True)
class Table:
    """A table with what must be known to read it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """How a figure of `result.json` is shown."""

    name: str
    title: str
    scale: float
    digits: int
    higher_is_better: bool | None
    note: str = ""


FIGURES = (
    Figure("accuracy", "Test accuracy, %", 100, 1, True),
    Figure("balanced_accuracy", "Balanced accuracy, %", 100, 1, True),
    Figure(
        "detection_auroc",
        "Detection of wrong labels, AUROC",
        1,
        3,
        True,
        "Score of an example: that of gdw audit; for pruning by cleanlab its own, 1 − the out-of-fold "
        "probability of the given label.",
    ),
    Figure("detection_precision", "Detection of wrong labels, average precision", 1, 3, True),
    Figure("nll", "Negative log-likelihood on the test set", 1, 3, False),
    Figure("ece", "Calibration error (ECE) on the test set, %", 100, 1, False),
    Figure("seconds", "Seconds a run, preparation and evaluation included", 1, 0, None),
)


def group_tables(results: Results, group: Group) -> list[Table]:
    """All figures of the group, the measure with the mean rank first; then the paired comparisons."""
    ranks, counted = mean_ranks(results, group)
    tables = []
    measure = measure_of(results)
    for figure in sorted(FIGURES, key=lambda figure: figure is not measure):
        if any(
            results.score(s, m, figure.name).values for s in group.settings for m in group.methods
        ):
            table = _figure_table(results, group, figure)
            tables.append(_with_ranks(table, group, ranks, counted) if figure is measure else table)
    reference = reference_of(results, group, ranks)
    if tables and reference is not None and len(group.methods) > 1:
        standing = _standing_table(results, group, reference)
        tables += [standing] if standing.rows else []
        tables.append(_comparison_table(results, group, reference))
    return tables


def unfinished_table(results: Results) -> Table | None:
    """Cells that were begun and are not finished; None where there are none."""
    rows = [
        (
            Entry(f"{cell.setting}: {results.protocol.title(cell.method)}, seed {cell.seed}"),
            Entry(f"{len(part.curve)} of {part.epochs}"),
            Entry(f"{100 * part.curve[-1]:.1f}" if part.curve and part.curve[-1] >= 0 else "—"),
        )
        for cell, part in results.begun.items()
    ]
    if not rows:
        return None
    return Table(
        "Begun, not finished",
        ("run", "epochs", "test accuracy so far, %"),
        tuple(rows),
        "After the last whole epoch, not comparable with those of finished runs.",
    )


def measure_of(results: Results) -> Figure:
    """The figure that ranks and differences are of."""
    return next(f for f in FIGURES if f.name == results.protocol.measure)


def shown(score: Score, figure: Figure) -> str:
    """`84.3 ± 1.2`, with what is missing of it in words; a dash where there is nothing yet."""
    seeds = len(score.values) + len(score.failed) + len(score.missing)
    if score.mean is None:
        return "failed" if score.failed else "—" if score.missing else "·"
    text = f"{figure.scale * score.mean:.{figure.digits}f}"
    if score.spread is not None:
        text += f" ± {figure.scale * score.spread:.{figure.digits}f}"
    if score.failed:
        return f"{text} ({len(score.failed)} of {seeds} failed)"
    return f"{text} ({len(score.values)} of {seeds} seeds)" if score.missing else text


def _figure_table(results: Results, group: Group, figure: Figure) -> Table:
    columns = []
    for setting in group.settings:
        scores = [results.score(setting, method, figure.name) for method in group.methods]
        best = _best(scores, figure)
        columns.append(
            [
                Entry(shown(s, figure), best=i in best, failed=bool(s.failed))
                for i, s in enumerate(scores)
            ]
        )
    rows = [
        (Entry(results.protocol.title(method)), *(column[i] for column in columns))
        for i, method in enumerate(group.methods)
    ]
    header = ("method", *map(str, group.settings))
    return Table(figure.title, header, tuple(rows), figure.note)


def _best(scores: Sequence[Score], figure: Figure) -> set[int]:
    means = {i: s.mean for i, s in enumerate(scores) if s.mean is not None and not s.failed}
    if figure.higher_is_better is None or not means:
        return set()
    pick: Callable[..., float] = max if figure.higher_is_better else min
    best = pick(means.values())
    return {i for i, mean in means.items() if mean == best}


def _with_ranks(table: Table, group: Group, ranks: dict[str, float], counted: int) -> Table:
    if not ranks:
        return replace(table, note="No setting is finished, so there are no ranks yet.")
    lowest = min(ranks.values())
    rows = tuple(
        (*row, Entry(f"{ranks[method]:.1f}", best=ranks[method] == lowest))
        for row, method in zip(table.rows, group.methods, strict=True)
    )
    finished = "" if counted == len(group.settings) else f" that are finished ({counted})"
    note = f"Mean rank: over the settings{finished}; 1 is best, a method that failed comes last."
    return Table(table.title, (*table.header, "mean rank"), rows, note)


def _standing_table(results: Results, group: Group, reference: str) -> Table:
    """Setting by setting: the reference beside the best of the others."""
    measure = measure_of(results)
    rows = []
    for setting in group.settings:
        scores = {m: results.score(setting, m, measure.name) for m in group.methods}
        own = scores.pop(reference)
        means = {m: s.mean for m, s in scores.items() if s.mean is not None}
        if own.mean is None or not means:
            continue
        best = max(means, key=lambda method: means[method])
        gap = own.mean - means[best]
        rows.append(
            tuple(
                map(
                    Entry,
                    (
                        str(setting),
                        shown(own, measure),
                        f"{results.protocol.title(best)}: {shown(scores[best], measure)}",
                        f"{measure.scale * gap:+.1f}",
                        _verdict(own, scores[best]),
                    ),
                )
            )
        )
    title = results.protocol.title(reference)
    return Table(
        f"{title} and the best of the others, setting by setting",
        ("setting", title, "best of the others", "difference", "where it stands"),
        tuple(rows),
        "The best is picked after the fact, setting by setting. Within one std: a difference, either way, of "
        "no more than the larger of the two standard deviations over seeds.",
    )


def _verdict(own: Score, other: Score) -> str:
    """Ahead, behind, or neither; a dash where seeds are missing and the means are of different ones."""
    if own.mean is None or other.mean is None or set(own.values) != set(other.values):
        return "—"
    gap, within = own.mean - other.mean, max(own.spread or 0.0, other.spread or 0.0)
    if abs(gap) <= within:
        return "within one std"
    return "ahead" if gap > 0 else "behind"


def _comparison_table(results: Results, group: Group, reference: str) -> Table:
    others = [method for method in group.methods if method != reference]
    found = {method: compare(results.pairs(group, method, reference)) for method in others}
    corrected = holm({method: c.p_wilcoxon for method, c in found.items()})
    rows = tuple(
        tuple(map(Entry, _comparison(results.protocol.title(m), replace(c, p_holm=corrected[m]))))
        for m, c in found.items()
    )
    few = (
        f" Where n is below {FEWEST} the signed-rank test can show nothing and is left out: more seeds are "
        "needed."
        if any(c.n < FEWEST for c in found.values())
        else ""
    )
    return Table(
        f"Against {results.protocol.title(reference)}",
        (
            "method",
            "difference, points",
            "better / worse",
            "n",
            "p, Wilcoxon",
            "p, Holm",
            "p, paired t",
        ),
        rows,
        f"{measure_of(results).title} of the method less that of the reference on the same setting and seed "
        "(same rows, noise, and clean examples). n counts such pairs; those of one data set are dependent: "
        f"p is a guide. Two-sided; Holm: corrected for {len(others)} comparisons.{few}",
    )


def _comparison(title: str, c: Comparison) -> list[str]:
    if not c.n:
        return [title, "—", "—", "0", "—", "—", "—"]
    spread = "" if c.spread is None else f" ± {100 * c.spread:.1f}"
    p = ["—" if p is None else f"{p:.3f}" for p in (c.p_wilcoxon, c.p_holm, c.p_t)]
    return [title, f"{100 * c.mean:+.1f}{spread}", f"{c.better} / {c.worse}", str(c.n), *p]
