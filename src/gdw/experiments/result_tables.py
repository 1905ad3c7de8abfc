"""Results as tables of text, from which the Markdown and HTML pages are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gdw.experiments.cells import Setting
from gdw.experiments.certificate_tables import certificate_tables
from gdw.experiments.metrics import METRICS, Metric
from gdw.experiments.rank_table import rank_table
from gdw.experiments.results import Group, Results, Score, mean_ranks, reference_of
from gdw.experiments.significance import FEWEST, Comparison, compare, holm
from gdw.experiments.tables import Entry, Table

MOST_COLUMNS = 20
"""With more settings a table has a row for each of them, and a column for each method."""


def group_tables(results: Results, group: Group) -> list[Table]:
    """The tables of a group: a table for each metric, then the comparisons with the reference.

    The table of the protocol's measure comes first and has the mean ranks. Where it is long, the table of the
    ranks alone comes before it. Grids that try certificates have tables of their own.
    """
    if results.protocol.certificates is not None:
        return certificate_tables(results, group)
    ranks, counted = mean_ranks(results, group)
    measure = measure_of(results)
    is_long = len(group.settings) > MOST_COLUMNS
    tables = []
    for metric in sorted(METRICS, key=lambda metric: metric is not measure):
        if _has_values(results, group, metric):
            table = _metric_table(results, group, metric)
            if metric is measure:
                table = _with_ranks(table, group, ranks, counted)
            tables.append(_turned(table) if is_long else table)
    reference = reference_of(results, group, ranks)
    ranked = rank_table(results, group, measure=measure.title) if tables else None
    if ranked is not None:
        tables.insert(0 if is_long else len(tables), ranked)
    if tables and reference is not None and len(group.methods) > 1:
        tables += _comparisons(results, group, reference)
    return tables


def _turned(table: Table) -> Table:
    """The table with a row for each setting and a column for each method."""
    _, *settings = table.header
    columns = [row[0].text for row in table.rows]
    rows = zip(*(row[1:] for row in table.rows), strict=True)
    turned = tuple((Entry(name), *row) for name, row in zip(settings, rows, strict=True))
    return replace(table, header=("setting", *columns), rows=turned)


def _comparisons(results: Results, group: Group, reference: str) -> list[Table]:
    best_other = _best_other_table(results, group, reference)
    differences = _difference_table(results, group, reference)
    return [best_other, differences] if best_other.rows else [differences]


def unfinished_table(results: Results) -> Table | None:
    """The runs that were started and have not finished; None if there are none."""
    rows = [
        (
            Entry(f"{cell.setting}: {results.protocol.title(cell.method)}, seed {cell.seed}"),
            Entry(f"{len(part.curve)} of {part.epochs}"),
            Entry(f"{100 * part.curve[-1]:.1f}" if part.curve and part.curve[-1] >= 0 else "—"),
        )
        for cell, part in results.started.items()
    ]
    if not rows:
        return None
    return Table(
        "Started, not finished",
        ("run", "epochs", "test accuracy so far, %"),
        tuple(rows),
        "Accuracy after the last complete epoch. It cannot be compared with the accuracy of finished runs.",
    )


def measure_of(results: Results) -> Metric:
    """The metric of ranks and differences: the protocol's measure."""
    return next(metric for metric in METRICS if metric.name == results.protocol.measure)


def score_text(score: Score, metric: Metric, *, counted: bool = True) -> str:
    """A score such as `84.3 ± 1.2`, and how many seeds failed or are missing; a dash if there is no value.

    Without `counted` the missing seeds are left out.
    """
    if score.mean is None:
        return "failed" if score.failed else "—" if score.missing else "·"
    text = f"{metric.scale * score.mean:.{metric.digits}f}"
    if score.spread is not None:
        text += f" ± {metric.scale * score.spread:.{metric.digits}f}"
    seeds = len(score.values) + len(score.failed) + len(score.missing)
    if score.failed:
        return f"{text} ({len(score.failed)} of {seeds} failed)"
    is_counted = counted and score.missing
    return f"{text} ({len(score.values)} of {seeds} seeds)" if is_counted else text


def _has_values(results: Results, group: Group, metric: Metric) -> bool:
    return any(
        results.score(setting, method, metric.name).values
        for setting in group.settings
        for method in group.methods
    )


def _metric_table(results: Results, group: Group, metric: Metric) -> Table:
    by_setting = [
        [results.score(setting, method, metric.name) for method in group.methods]
        for setting in group.settings
    ]
    counts = {
        (len(score.values), len(score.values) + len(score.missing))
        for scores in by_setting
        for score in scores
        if score.values
    }
    columns = [_entries(scores, metric, counted=len(counts) > 1) for scores in by_setting]
    rows = [
        (Entry(results.protocol.title(method)), *(column[i] for column in columns))
        for i, method in enumerate(group.methods)
    ]
    header = ("method", *map(str, group.settings))
    return Table(metric.title, header, tuple(rows), f"{metric.note}{_seeds_note(counts)}".strip())


def _seeds_note(counts: set[tuple[int, int]]) -> str:
    """In words, how many seeds have finished, if they are the same everywhere and not all."""
    if len(counts) != 1:
        return ""
    done, seeds = next(iter(counts))
    return "" if done == seeds else f" So far {done} of {seeds} seeds."


def _entries(scores: Sequence[Score], metric: Metric, *, counted: bool) -> list[Entry]:
    best = _best(scores, metric)
    return [
        Entry(score_text(score, metric, counted=counted), best=i in best, failed=bool(score.failed))
        for i, score in enumerate(scores)
    ]


def _best(scores: Sequence[Score], metric: Metric) -> set[int]:
    """The positions of the best mean; a score with failed runs does not count."""
    means = {i: s.mean for i, s in enumerate(scores) if s.mean is not None and not s.failed}
    if metric.higher_is_better is None or not means:
        return set()
    best = (max if metric.higher_is_better else min)(means.values())
    return {i for i, mean in means.items() if mean == best}


def _with_ranks(table: Table, group: Group, ranks: dict[str, float], counted: int) -> Table:
    if not ranks:
        unranked = "No setting has finished, so there are no ranks yet."
        return replace(table, note=f"{unranked} {table.note}".strip())
    lowest = min(ranks.values())
    rows = tuple(
        (*row, Entry(f"{ranks[method]:.1f}", best=ranks[method] == lowest))
        for row, method in zip(table.rows, group.methods, strict=True)
    )
    finished = "" if counted == len(group.settings) else f" that have finished ({counted})"
    note = (
        f"Mean rank: mean over the settings{finished}. Rank 1 is the best; a method with a failed run is "
        "last."
    )
    return Table(table.title, (*table.header, "mean rank"), rows, f"{note} {table.note}".strip())


def _best_other_table(results: Results, group: Group, reference: str) -> Table:
    """For each setting: the reference and the best of the other methods."""
    rows = [
        tuple(map(Entry, texts))
        for setting in group.settings
        if (texts := _best_other_row(results, group, reference, setting)) is not None
    ]
    title = results.protocol.title(reference)
    return Table(
        f"{title} and the best other method in each setting",
        ("setting", title, "best other method", "difference", "verdict"),
        tuple(rows),
        "The best other method is chosen for each setting after the results were known. Within one std: the "
        "two means differ by no more than the larger of the two standard deviations over seeds.",
    )


def _best_other_row(
    results: Results, group: Group, reference: str, setting: Setting
) -> tuple[str, ...] | None:
    """The texts of a row; None if the reference or all other methods have no value yet."""
    measure = measure_of(results)
    scores = {m: results.score(setting, m, measure.name) for m in group.methods}
    reference_score = scores.pop(reference)
    means = {m: score.mean for m, score in scores.items() if score.mean is not None}
    if reference_score.mean is None or not means:
        return None
    best = max(means, key=lambda method: means[method])
    return (
        str(setting),
        score_text(reference_score, measure),
        f"{results.protocol.title(best)}: {score_text(scores[best], measure)}",
        f"{measure.scale * (reference_score.mean - means[best]):+.1f}",
        _verdict(reference_score, scores[best]),
    )


def _verdict(reference: Score, other: Score) -> str:
    """Whether the reference is ahead; a dash if the two means are not of the same seeds."""
    if reference.mean is None or other.mean is None or set(reference.values) != set(other.values):
        return "—"
    difference = reference.mean - other.mean
    if abs(difference) <= max(reference.spread or 0.0, other.spread or 0.0):
        return "within one std"
    return "ahead" if difference > 0 else "behind"


def _difference_table(results: Results, group: Group, reference: str) -> Table:
    """The paired differences of every method from the reference, with their tests."""
    comparisons = {
        method: compare(results.paired_differences(group, method, reference))
        for method in group.methods
        if method != reference
    }
    corrected = holm({method: c.p_wilcoxon for method, c in comparisons.items()})
    rows = tuple(
        tuple(
            map(Entry, _difference_row(results.protocol.title(m), replace(c, p_holm=corrected[m])))
        )
        for m, c in comparisons.items()
    )
    too_few = any(c.n < FEWEST for c in comparisons.values())
    few_note = (
        f" With n below {FEWEST} the signed-rank test is left out, because it cannot show a difference: run "
        "more seeds."
    )
    return Table(
        f"Paired differences from {results.protocol.title(reference)}",
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
        f"Difference: {measure_of(results).title} of the method minus that of the reference on the same "
        "setting and seed (same rows, noise and clean examples). n is the number of such pairs. Pairs from "
        "one data set are not independent, so p is only a guide. The tests are two-sided; Holm corrects for "
        f"{len(comparisons)} comparisons.{few_note if too_few else ''}",
    )


def _difference_row(title: str, c: Comparison) -> list[str]:
    if not c.n:
        return [title, "—", "—", "0", "—", "—", "—"]
    spread = "" if c.spread is None else f" ± {100 * c.spread:.1f}"
    p = ["—" if p is None else f"{p:.3f}" for p in (c.p_wilcoxon, c.p_holm, c.p_t)]
    return [title, f"{100 * c.mean:+.1f}{spread}", f"{c.better} / {c.worse}", str(c.n), *p]
