"""The certificate of a finished run: how many labels of its data are wrong, from rows drawn at random."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdw.certify.certificate import Certificate, certify_labels
from gdw.certify.decision import Scores
from gdw.certify.sample import FEWEST
from gdw.certify.verifier_error import VerifierError, as_verifier_error
from gdw.errors import DataError, counted
from gdw.files.representation import ShortRepr
from gdw.runs.audited_parts import of_training_file
from gdw.runs.config import DataConfig
from gdw.runs.model_config import ModelConfig
from gdw.suggestion.changes import Changes
from gdw.suggestion.drawn_rows import DrawnRows, drawn_rows
from gdw.suggestion.later_rows import LaterRows, later_rows
from gdw.suggestion.two_answers import error_of_two

if TYPE_CHECKING:
    import pandas as pd

    from gdw.runs import Run
    from gdw.runs.auditing import RunAudit

Ints = NDArray[np.int64]
OVERLAP = "overlap"
"""The error rate of verifiers comes from rows that two people have answered."""


@dataclass(frozen=True, eq=False, repr=False)
class RunCertificate(ShortRepr):
    """What is known about the labels of the data of a run.

    Attributes:
        certificate: of N rows: the training examples, and the verified rows of the data. If all verified rows
            were drawn from training examples, it may be of these.
        numbers: int64 `(N,)`, the rows of the data that it is of.
        scores: whose scores it uses: those of the "list" of the run, or of "quick models", each of which was
            trained without the row.
        changes: what its decisions and its curve are about.
        label_names: the names of the classes.
        verified: the verified class of each verified row of the data.
        changeable: the rows that were no training examples and get their verified class in a copy.
    """

    certificate: Certificate
    numbers: Ints
    scores: Scores
    changes: Changes
    label_names: tuple[str, ...]
    verified: dict[int, int]
    changeable: dict[int, int]

    def plain(self) -> dict[str, Any]:
        """The figures as plain values, for `audit.json`."""
        curve = self.certificate.curve
        assert curve is not None
        points = {
            "rows": curve.rows.tolist(),
            **{name: _known(getattr(curve, name)) for name in ("share", "low", "high")},
        }
        return {
            **self.certificate.plain(),
            "scores": self.scores,
            "relabelled": {
                **points,
                "scores": self.changes.scores,
                "of": len(self.changes.numbers),
            },
            "decided_by": self.decided_by,
        }

    @property
    def decided_by(self) -> str:
        """What the decisions and the curve are about, as a sentence."""
        total = counted(len(self.changes.numbers), "label")
        if self.changes.scores == "list":
            return (
                "decisions are about the list of this run: the rows that were verified after the training "
                f"are a random sample of {total} in it"
            )
        return (
            "decisions are about the suggestions of quick models, which have not seen the verified labels; "
            "the list of this run may do better"
        )

    def probability_wrong(self, numbers: Ints) -> NDArray[np.float64]:
        """The calibrated probability `(B,)` that the labels of these rows of the data are wrong.

        It is NaN for rows that the certificate is not about.
        """
        place = {row: i for i, row in enumerate(self.numbers.tolist())}
        calibrated = np.append(self.certificate.calibrated.probability, np.nan)
        return calibrated[[place.get(row, -1) for row in numbers.tolist()]]

    def applied(self, frame: pd.DataFrame, rows: int, *, relabelled: bool) -> pd.DataFrame:
        """A table of issues in which exactly the rows of a decision are issues, and the verified wrong ones.

        Args:
            frame: the table of `RunAudit.issues`.
            rows: how many of the most suspicious rows.
            relabelled: whether the decision is to relabel them; else to leave them out.

        Raises:
            DataError: one of these rows is not a training example, and not verified by a verification file.
        """
        changes, names = self.changes, self.label_names
        chosen = changes.first(rows, relabelled=relabelled)
        numbers = changes.numbers[chosen].tolist()
        new = dict(zip(numbers, changes.suggested[chosen].tolist(), strict=True)) | self.verified
        index, given = frame["index"].tolist(), frame["given_label"].tolist()
        others = set(numbers) - set(index) - self.changeable.keys()
        if others:
            raise DataError(
                f"no copy is written: {counted(len(others), 'row')} to change were not trained on, so "
                "a copy would not change them: give the verified rows as a verification file (--meta "
                "verify.jsonl), and train again"
            )
        wrong = [
            row in new and (row not in self.verified or names[new[row]] != label)
            for row, label in zip(index, given, strict=True)
        ]
        suggested = [
            names[new[row]] if row in new else label
            for row, label in zip(index, frame["suggested_label"], strict=True)
        ]
        applied: pd.DataFrame = frame.assign(is_label_issue=wrong, suggested_label=suggested)
        return applied


def certify_run(
    audit: RunAudit,
    *,
    verified: str | os.PathLike[str] | None = None,
    target: float | None = None,
    confidence: float = 0.95,
    verifier_error: float | str = 0.0,
) -> RunCertificate:
    """Certify the labels of the data of a run.

    With 10 or more `later_rows`, the decisions are about the list of the run. If these are all rows that were
    drawn at random, the whole certificate is by its scores, for methods that estimate the labels. Else the
    scores come from quick models of the given labels, out of fold, as in `gdw suggest`: verified labels are
    not used, and no model has learned from the row that it predicts. So they are a function of the data.

    Args:
        audit: of the run.
        verified: the verification file with rows drawn at random. By default that of the training, or the
            rows that `--meta-size` drew, if `--meta-label` says what they are.
        target: the largest share of wrong labels for decisions, such as 0.03; by default there are none.
        confidence: of each statement.
        verifier_error: the verified labels are wrong in at most this share of the rows; `OVERLAP` estimates
            it from the rows that two people have answered.

    Raises:
        ConfigError: an option is no share.
        DataError: there is no certificate, with the reason.
    """
    require_whole(audit.run)
    drawn = drawn_rows(audit, verified)
    error, basis = _verifier_error(drawn, verifier_error, confidence)
    options: dict[str, Any] = {"confidence": confidence, "verifier_error": error}
    later = later_rows(audit, drawn)
    if later is None:
        changes = of = _quick_changes(audit, drawn)
        certificate = _certificate(
            of, drawn, audit, suggested=of.suggested, target=target, **options
        )
    else:
        changes = Changes.of_list(audit.evidence, later.population)
        whole = _is_of_list(audit, drawn, later)
        of = changes if whole else _quick_changes(audit, drawn)
        certificate = _certificate(of, later.alone(drawn) if whole else drawn, audit, **options)
        certificate = changes.certified(certificate, later, target, **options)
    decisions = tuple(replace(found, scores=changes.scores) for found in certificate.decisions)
    notes = (*certificate.notes, basis) if basis else certificate.notes
    return RunCertificate(
        certificate=replace(certificate, decisions=decisions, notes=notes),
        numbers=of.numbers,
        scores=of.scores,
        changes=changes,
        label_names=audit.run.label_names,
        verified=drawn.known,
        changeable=drawn.of_run,
    )


def _verifier_error(
    drawn: DrawnRows, wanted: float | str, confidence: float
) -> tuple[VerifierError, str]:
    """How often the verified labels are wrong, and where this comes from; empty if the user says it."""
    if wanted != OVERLAP:
        return as_verifier_error(float(wanted)), ""
    if drawn.verification is None:
        raise DataError(
            "nothing says how two people answered the same rows: there is no file of answers"
        )
    # Half of what may be wrong is for the rate, the other half for the sample.
    return error_of_two(drawn.verification.queue.path, confidence=(1 + confidence) / 2)


def option_that_changes(config: DataConfig) -> str | None:
    """The option because of which a run is not trained on the labels and rows of its data as they are."""
    names = ("noise", "imbalance", "limit")
    return next((name for name in names if getattr(config, name) is not None), None)


def require_whole(run: Run) -> None:
    """`DataError` if a run was not trained on the labels and rows of its data as they are."""
    name = option_that_changes(run.data_config)
    if name is not None:
        raise DataError(f"the run was not trained on all the data as they are, because of --{name}")


def _is_of_list(audit: RunAudit, drawn: DrawnRows, later: LaterRows) -> bool:
    """Whether the share of wrong labels is certified by the scores of the list, too.

    Models that learn all labels come to know the wrong ones. Only methods that estimate the labels by models
    that did not learn from a row find wrong ones as well as quick models do, or better.
    """
    if len(drawn.at_random) < FEWEST:
        return True
    return audit.evidence.posterior_given is not None and later.all_of(drawn)


def _certificate(of: Changes, drawn: DrawnRows, audit: RunAudit, **options: Any) -> Certificate:
    """The certificate of some rows, with their scores."""
    place = {row: i for i, row in enumerate(of.numbers.tolist())}
    return certify_labels(
        of.given,
        of.doubt,
        np.array([place[row] for row in drawn.numbers.tolist()], dtype=np.int64),
        drawn.labels,
        audit.run.label_names,
        probability=drawn.probability,
        batch=drawn.draw,
        **options,
    )


def _quick_changes(audit: RunAudit, drawn: DrawnRows) -> Changes:
    """The training examples and all verified rows, in the order of the data, as quick models see them."""
    from gdw.suggestion.suggesting import look

    numbers = np.union1d(audit.evidence.numbers, drawn.numbers)
    numbers = np.union1d(numbers, drawn.not_trained).astype(np.int64)
    source = of_training_file(audit, numbers, audit.require_rows().codes[numbers])
    run = audit.run
    backbone = run.model_config.backbone if run.model_config.uses_backbone else "none"
    looked = look(source, run.schema, run.data_config, ModelConfig(backbone=backbone))
    return Changes.by_quick_models(source, looked.opinions)


def _known(values: NDArray[np.float64]) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]
