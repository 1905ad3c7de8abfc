"""What is wrong with the examples themselves: near-duplicates, outliers, and blank or dark images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdw.audit.data_rows import TEST, Ints, Pairs, Parts, equal_rows
from gdw.data.source import Source
from gdw.errors import counted
from gdw.files.representation import ShortRepr

if TYPE_CHECKING:
    import pandas as pd

OUTLIER = 0.5
"""An example is an outlier if its score is above this."""

EncodedFeatures = Callable[[Source], Any]
"""From the examples of a part to their features from a pretrained network, float32 `(N, F)`."""

SHOWN_PARTNERS = 3

_NARROW = 32


class Leak(NamedTuple):
    """Near-duplicates between the examples that training has learned from and those of another part.

    Attributes:
        part: the name of the other part.
        among: "training data", or "training or verified data" if test examples are near-duplicates of
            verified ones too, from which training has learned as well.
        found: how many of its examples have a near-duplicate there.
        differ: how many of these have one with another label.
        examples: how many examples the part has.
    """

    part: str
    among: str
    found: int
    differ: int
    examples: int


@dataclass(frozen=True, eq=False, repr=False)
class Duplicates(ShortRepr):
    """Pairs of near-duplicates.

    Attributes:
        parts: the M examples that were compared.
        one, other: int64 `(P,)`, the examples of each pair as numbers in `parts`, `one < other`.
        similarity: float32 `(P,)`, from 0 to 1, where 1 is equal.
    """

    parts: Parts
    one: Ints
    other: Ints
    similarity: NDArray[np.float32]

    @classmethod
    def of(cls, parts: Parts, *found: Pairs) -> Duplicates:
        """Each pair once, most similar first, whatever the order in it and however often it was found."""
        one, other, similarity = map(np.concatenate, zip(*found, strict=True))
        best = np.argsort(-similarity, kind="stable")
        low, high = np.minimum(one, other)[best], np.maximum(one, other)[best]
        _, first = np.unique(low * (len(parts) + 1) + high, return_index=True)
        order = np.sort(first)
        return cls(parts, low[order], high[order], similarity[best[order]].astype(np.float32))

    @cached_property
    def differ(self) -> NDArray[np.bool_]:
        """`(P,)`, whether the two examples of a pair have different labels."""
        labels = self.parts.labels
        return np.asarray(labels[self.one] != labels[self.other])

    def having(self, pairs: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """`(M,)`, whether each example is in one of the `pairs` `(P,)`, by default in any."""
        chosen = np.ones(len(self.one), dtype=bool) if pairs is None else pairs
        found = np.zeros(len(self.parts), dtype=bool)
        found[self.one[chosen]] = found[self.other[chosen]] = True
        return found

    def partners(self) -> dict[int, list[int]]:
        """For each training example with a near-duplicate the other examples, most similar first."""
        found: dict[int, list[int]] = {}
        for one, other in zip(self.one.tolist(), self.other.tolist(), strict=True):
            for example, partner in ((one, other), (other, one)):
                if example < self.parts.training:
                    found.setdefault(example, []).append(partner)
        return found

    def leaks(self) -> list[Leak]:
        """What the verified and the test examples share with the training examples, if anything."""
        leaks = []
        first = self.parts.part[self.one]
        for number, name in enumerate(self.parts.names[1:], start=1):
            members = self.parts.members(name)
            across = (first < number) & (self.parts.part[self.other] == number)
            found = int(self.having(across)[members].sum())
            differ = int(self.having(across & self.differ)[members].sum())
            among = " or ".join(self.parts.names[k] for k in np.unique(first[across]))
            if found:
                leaks.append(Leak(name, f"{among} data", found, differ, len(members)))
        return leaks

    def rows(self, label_names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The lines of `duplicates.csv`, without its header."""
        for i, similarity in enumerate(self.similarity.tolist()):
            line: list[Any] = []
            for example in (int(self.one[i]), int(self.other[i])):
                line += [*self.parts.place(example), label_names[self.parts.labels[example]]]
            yield (*line, f"{similarity:.4f}", "true" if self.differ[i] else "false")


@dataclass(frozen=True, eq=False, repr=False)
class DataProblems(ShortRepr):
    """What is wrong with N training examples of a run.

    Attributes:
        duplicates: pairs of near-duplicates, also with verified and test examples.
        outlier_score: float64 `(N,)`, from 0 to 1; None if outliers are not looked for in such data.
        image_problem: `(N,)`, "blank", "dark", "bright", "unreadable" or "" for each image; None for others.
        notes: one line each for the user, on what was not looked for.
    """

    duplicates: Duplicates
    outlier_score: NDArray[np.float64] | None = None
    image_problem: NDArray[np.str_] | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def columns(self) -> dict[str, Any]:
        """The values of `PROBLEM_COLUMNS`, each `(N,)`, in the order of the training examples."""
        parts, n = self.duplicates.parts, self.duplicates.parts.training
        partners = self.duplicates.partners()
        scores = np.full(n, np.nan) if self.outlier_score is None else self.outlier_score
        problems = np.full(n, "") if self.image_problem is None else self.image_problem
        return {
            "near_duplicate_of": np.array(
                [shown_partners(parts, partners.get(i, ())) for i in range(n)], dtype=object
            ),
            "duplicate_labels_differ": self.duplicates.having(self.duplicates.differ)[:n],
            "outlier_score": scores,
            "is_outlier": scores > OUTLIER,
            "image_problem": problems.astype(object),
        }

    def added_to(self, frame: pd.DataFrame, positions: NDArray[np.int64]) -> pd.DataFrame:
        """A table of `gdw.audit.label_issues` with these columns; its rows are the examples `positions`."""
        added: pd.DataFrame = frame.assign(
            **{name: values[positions] for name, values in self.columns.items()}
        )
        return added

    def figures(self) -> dict[str, Any]:
        """How many examples have each problem, for `audit.json`."""
        columns = self.columns
        names, counts = np.unique(columns["image_problem"].astype(str), return_counts=True)
        return {
            "near_duplicates": int((columns["near_duplicate_of"] != "").sum()),
            "duplicate_labels_differ": int(columns["duplicate_labels_differ"].sum()),
            "outliers": int(columns["is_outlier"].sum()),
            "image_problems": {
                str(name): int(count) for name, count in zip(names, counts, strict=True) if name
            },
            "leaks": [leak._asdict() for leak in self.duplicates.leaks()],
            "notes": list(self.notes),
        }

    def lines(self) -> list[str]:
        """What was found, in one line each for the terminal; empty if nothing was."""
        figures = self.figures()
        total = self.duplicates.parts.training
        lines = [summary_of_leak(leak) for leak in self.duplicates.leaks()]
        if figures["near_duplicates"]:
            differ = figures["duplicate_labels_differ"]
            labels = f", {differ:,} of them with another label" if differ else ""
            lines.append(
                f"near-duplicates: {figures['near_duplicates']:,} of {total:,} training examples{labels} "
                "(pairs in duplicates.csv)"
            )
        if figures["outliers"]:
            unlike = counted(figures["outliers"], "training example is", "training examples are")
            lines.append(f"outliers: {unlike} unlike all others")
        kinds = [f"{count:,} {name}" for name, count in figures["image_problems"].items()]
        if kinds:
            lines.append(f"images: {', '.join(kinds)}")
        return [*lines, *(f"note: {note}" for note in self.notes)]


def data_problems(
    sources: Mapping[str, Source],
    *,
    features: EncodedFeatures | None = None,
    notes: tuple[str, ...] = (),
) -> DataProblems:
    """Look for near-duplicates, outliers, and blank or dark images.

    Args:
        sources: the examples by the name of their part, "training" first, all with labels.
        features: gives the features of a pretrained network, if the run has one.
        notes: notes to add to.

    Returns:
        What was found. The features are compared in blocks: memory grows with the number of examples only.
    """
    parts = Parts(sources)
    training = sources[parts.names[0]]
    if training.kind == "table" or _is_narrow(training):
        pairs, note = equal_rows(parts)
        return DataProblems(Duplicates.of(parts, pairs), notes=(*notes, *filter(None, (note,))))
    from gdw.audit.embedding import compared

    return compared(parts, features, notes)


def _is_narrow(source: Source) -> bool:
    """Whether an array has so few columns that nearby rows are usual."""
    if source.kind != "array":
        return False
    values = source.array(np.arange(min(1, len(source))))
    return values.ndim == 2 and values.shape[1] < _NARROW


def summary_of_leak(leak: Leak) -> str:
    """One line about a leak, for people."""
    labels = f" ({leak.differ:,} with another label)" if leak.differ else ""
    have = "has" if leak.found == 1 else "have"
    line = (
        f"{leak.found:,} of {leak.examples:,} {leak.part} examples {have} a near-duplicate in the "
        f"{leak.among}{labels}"
    )
    return f"{line}: the test accuracy is too good" if leak.part == TEST else line


def shown_partners(parts: Parts, partners: Sequence[int]) -> str:
    """The places of the near-duplicates of an example, in one cell."""
    places = [parts.place(partner)[2] for partner in partners[:SHOWN_PARTNERS]]
    rest = len(partners) - len(places)
    return "; ".join(places) + (f"; and {rest:,} more" if rest > 0 else "")
