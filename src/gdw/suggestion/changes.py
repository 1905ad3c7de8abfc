"""Which labels would be changed, in which order, and how many of these changes are sure to meet a target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdw.audit.issues import score, true_class_probabilities
from gdw.certify.certificate import Certificate
from gdw.certify.decision import Decision, Scores, curve, decide
from gdw.certify.ranked import Ranking, order_of_change, ranking
from gdw.certify.sample import verified_sample

if TYPE_CHECKING:
    from gdw.audit.evidence import Evidence
    from gdw.data.source import Source
    from gdw.suggestion.later_rows import LaterRows
    from gdw.suggestion.opinions import Opinions

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Changes:
    """P rows of the data in the order in which they would be changed.

    Attributes:
        numbers: int64 `(P,)`, the rows of the data.
        given: int64 `(P,)`, the classes of their labels.
        doubt: float64 `(P,)`, how likely each label is wrong.
        suggested: int64 `(P,)`, the classes that they would get.
        suggestion_doubt: float64 `(P,)`, how likely each suggestion is wrong.
        scores: whose they are.
    """

    numbers: Ints
    given: Ints
    doubt: NDArray[np.float64]
    suggested: Ints
    suggestion_doubt: NDArray[np.float64]
    scores: Scores

    @classmethod
    def of_list(cls, evidence: Evidence, positions: Ints) -> Changes:
        """Training examples of a run as its list of label issues has them.

        Args:
            evidence: of the run.
            positions: int64 `(P,)`, of the examples.
        """
        probable = true_class_probabilities(evidence)
        return cls(
            numbers=evidence.numbers[positions],
            given=evidence.given.astype(np.int64)[positions],
            doubt=score(evidence)[positions],
            suggested=probable.classes[positions, 0].astype(np.int64),
            suggestion_doubt=np.clip(
                1 - probable.probabilities[positions, 0].astype(np.float64), 0, 1
            ),
            scores="list",
        )

    @classmethod
    def by_quick_models(cls, source: Source, opinions: Opinions) -> Changes:
        """Rows of the data as models see them that were trained without them."""
        doubt = opinions.wrong.astype(np.float64)
        return cls(
            numbers=source.row_numbers,
            given=source.known_labels,
            doubt=doubt,
            suggested=opinions.likely,
            suggestion_doubt=1 - doubt,
            scores="quick models",
        )

    @property
    def changed(self) -> NDArray[np.bool_]:
        """`(P,)`, which suggestions differ from the given label."""
        changed: NDArray[np.bool_] = self.suggested != self.given
        return changed

    def first(self, rows: int, *, relabelled: bool) -> Ints:
        """The positions of the rows that a decision changes.

        Args:
            rows: how many.
            relabelled: they get their suggestion; else they are left out.
        """
        return self._order(relabelled=relabelled)[:rows]

    def _order(self, *, relabelled: bool) -> Ints:
        # A row of the list whose suggestion is the given label may well be wrong, and is left out in its
        # turn. Quick models only suggest what is likely.
        all_by_score = self.scores == "list" and not relabelled
        return order_of_change(self.doubt, None if all_by_score else self.changed)

    def ranking(self, later: LaterRows, *, relabelled: bool) -> Ranking:
        """The P rows in the order of a decision, with what the verified ones say.

        Args:
            later: the verified rows of these P.
            relabelled: as for `first`.
        """
        sample = verified_sample(
            len(self.numbers),
            later.rows,
            self.given[later.rows] != later.labels,
            later.probability,
            batch=later.draw,
        )
        return ranking(
            sample,
            self.doubt,
            suggestion_wrong=self.suggested[later.rows] != later.labels,
            suggestion_doubt=self.suggestion_doubt,
            candidates=int(self.changed.sum()) if relabelled else None,
            order=self._order(relabelled=relabelled),
        )

    def certified(
        self, certificate: Certificate, later: LaterRows, target: float | None, **options: Any
    ) -> Certificate:
        """A certificate with the decisions and the curve of these changes.

        Args:
            certificate: of the same data.
            later: the verified rows of these P.
            target: of the decisions; None for none.
            options: the `confidence` and the `verifier_error` of `gdw.certify.decide`.
        """
        relabelled = self.ranking(later, relabelled=True)
        decisions: tuple[Decision, ...] = ()
        if target is not None:
            dropped = self.ranking(later, relabelled=False)
            decisions = (
                decide(dropped, "drop", target=target, **options),
                decide(relabelled, "relabel", target=target, **options),
            )
        points = curve(relabelled, "relabel", **options)
        return replace(certificate, decisions=decisions, curve=points)
