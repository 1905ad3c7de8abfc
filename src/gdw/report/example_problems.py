"""What is wrong with the examples of the page themselves: near-duplicates, outliers, dark or blank images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gdw.audit.audit_files import DUPLICATES, read_duplicates
from gdw.audit.data_problems import Leak, summary_of_leak
from gdw.audit.data_rows import TEST, TRAINING, VERIFIED
from gdw.data.source import Source
from gdw.errors import DataError, counted
from gdw.report.previews import Preview, previews
from gdw.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd

KINDS = {
    "duplicate": "near-duplicates",
    "differ": "near-duplicates with another label",
    "outlier": "outliers",
    "image": "dark, bright or blank images",
}
"""The problems by which the page filters, with their names."""

_MOST_MORE = 50
_FORMS = {TEST: "test", VERIFIED: "meta"}


@dataclass(frozen=True)
class Partner:
    """The near-duplicate of an example that is shown beside it.

    Attributes:
        where: its place in words.
        label: its label.
        part: the part that it is from: "training", "verified" or "test".
        differs: whether its label is another one.
        preview: None if it cannot be shown.
    """

    where: str
    label: str
    part: str
    differs: bool
    preview: Preview | None = None


def examples_of_page(frame: pd.DataFrame, count: int) -> pd.DataFrame:
    """The first `count` examples of the list, and of the others those with problems, at most 50 a kind."""
    import pandas as pd

    top, rest = frame.head(count), frame.iloc[count:]
    duplicates = rest[rest["near_duplicate_of"] != ""]
    chosen = [
        duplicates.sort_values("duplicate_labels_differ", ascending=False, kind="stable"),
        rest[rest["is_outlier"]].sort_values("outlier_score", ascending=False, kind="stable"),
        rest[rest["image_problem"] != ""],
    ]
    more = {place: None for part in chosen for place in part.index[:_MOST_MORE]}
    joined: pd.DataFrame = pd.concat([top, rest.loc[list(more)]])
    return joined


def problems_of(row: Mapping[Any, Any]) -> list[str]:
    """The keys of `KINDS` that hold for a row of the list."""
    holds = {
        "duplicate": row["near_duplicate_of"] != "",
        "differ": row["duplicate_labels_differ"],
        "outlier": row["is_outlier"],
        "image": row["image_problem"] != "",
    }
    return [name for name in KINDS if holds[name]]


def partners(run: Run, shown: pd.DataFrame, training: Source | None) -> dict[str, Partner]:
    """For the places of the examples in `shown` their most telling near-duplicates.

    That is one with another label if there is one, else the most similar.

    Args:
        run: the run.
        shown: rows of the list of issues.
        training: the training examples, to show them; None if they were not found.
    """
    path = run.folder.file(DUPLICATES)
    wanted = set(shown["where"][shown["near_duplicate_of"] != ""])
    if not wanted or not path.exists():
        return {}
    found: dict[str, Partner] = {}
    for pair in read_duplicates(path).to_dict("records"):
        for own, other in (("", "other_"), ("other_", "")):
            place = pair[f"{own}where"]
            if pair[f"{own}part"] != TRAINING or place not in wanted:
                continue
            known, differs = found.get(place), bool(pair["labels_differ"])
            if known is None or (differs and not known.differs):
                found[place] = Partner(
                    pair[f"{other}where"], pair[f"{other}label"], pair[f"{other}part"], differs
                )
    return _with_previews(run, found, training)


def _with_previews(
    run: Run, found: Mapping[str, Partner], training: Source | None
) -> dict[str, Partner]:
    pictured = dict(found)
    for part in {partner.part for partner in found.values()}:
        source = _source(run, part, training)
        places = [place for place in found if found[place].part == part]
        if source is not None:
            shown = previews(source, [found[place].where for place in places])
            for place, preview in zip(places, shown, strict=True):
                pictured[place] = replace(found[place], preview=preview)
    return pictured


def _source(run: Run, part: str, training: Source | None) -> Source | None:
    path = getattr(run.data_config, _FORMS[part]) if part in _FORMS else None
    if path is None:
        return training
    try:
        return run.schema.load(path, label=None, options=run.data_config.read_options)
    except DataError:
        return None


def sentences(run: Run) -> tuple[list[str], list[str]]:
    """What the page says about leaks, and about other problems; empty for an audit of an earlier version."""
    figures = (run.audit or {}).get("data_problems")
    if figures is None:
        return [], []
    leaks = [f"{summary_of_leak(Leak(**leak))}." for leak in figures["leaks"]]
    duplicates, differ = figures["near_duplicates"], figures["duplicate_labels_differ"]
    said = []
    if duplicates:
        labels = f" ({differ:,} with another label)" if differ else ""
        said.append(f"{duplicates:,} with near-duplicates{labels}")
    if figures["outliers"]:
        said.append(counted(figures["outliers"], "outlier"))
    said += [counted(count, f"{name} image") for name, count in figures["image_problems"].items()]
    others = [f"Among the training examples: {', '.join(said)}."] if said else []
    return leaks, [*others, *(f"Note: {note}." for note in figures["notes"])]
