"""The certificate that `gdw audit` shows, and the copy with its guarantee."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdw.cli.app import note, waiting_on_terminal
from gdw.cli.certificate_advice import way_to_one, way_to_the_list, what_more_rows_bring
from gdw.cli.tables import print_table, say_wrapped
from gdw.errors import ConfigError, DataError, GDWError, OutputError, RunError, shown

if TYPE_CHECKING:
    import pandas as pd

    from gdw.audit.cleaning import Mode
    from gdw.certify import Certificate, ClassShare
    from gdw.runs import RunAudit
    from gdw.suggestion.run_certificate import RunCertificate

_CLASSES = 10
_HALF = 0.5


@dataclass(frozen=True)
class Wanted:
    """What the user wants to have certified.

    Attributes:
        verified: a verification file; None for that of the training.
        target: the largest share of wrong labels; None for no decision.
        confidence: of each statement.
        mode: of the copy; None for none.
        listed: the list of issues that the user gave; None for none.
        verifier_error: how often verified labels are wrong at most, as a number, or "overlap".
    """

    verified: Path | None
    target: float | None
    confidence: float
    mode: Mode | None
    listed: Path | None = None
    verifier_error: str = "0"

    def check(self) -> None:
        """Check the options, before long work.

        Raises:
            ConfigError: they are out of range, or do not go together.
            DataError: there is no verification file.
        """
        from gdw.data.verification import is_queue

        for flag, value in (("--target-error", self.target), ("--confidence", self.confidence)):
            if value is not None and not 0 < value < 1:
                example = "0.03" if flag == "--target-error" else "0.95"
                raise ConfigError(
                    f"{flag}: expected a share above 0 and below 1, such as {example}, found {value:g}"
                )
        _ = self._error
        if self._asked and self.listed is not None:
            flag = "--target-error" if self.target is not None else "--verified"
            flag = flag if self.verified or self.target else "--verifier-error"
            raise ConfigError(
                f"{flag} is about the rows that gdw chooses, and --issues about your list: leave one of them "
                "out"
            )
        if self.verified is not None and not is_queue(self.verified):
            raise DataError(
                f"--verified: expected a verification file that gdw suggest wrote, found "
                f"{shown(self.verified)}"
            )

    def certified(self, run_audit: RunAudit) -> Certified:
        """The certificate, or why there is none; for a list of the user there is none.

        Raises:
            GDWError: there is none, and the user asked for it.
            ConfigError: the copy that the user wants would not meet the target.
        """
        from gdw.suggestion.run_certificate import certify_run

        if self.listed is not None:
            return Certified(self, run_audit, None)
        try:
            with waiting_on_terminal("comparing labels and examples"):
                found = certify_run(
                    run_audit,
                    verified=self.verified,
                    target=self.target,
                    confidence=self.confidence,
                    verifier_error=self._error,
                )
        except GDWError as error:
            if self._asked:
                raise DataError(f"no certificate: {error}") from None
            return Certified(self, run_audit, None, str(error))
        certified = Certified(self, run_audit, found)
        certified.require_possible()
        return certified

    @property
    def _error(self) -> float | str:
        """The error rate of verifiers; `ConfigError` if it is neither a small share nor "overlap"."""
        if self.verifier_error == "overlap":
            return self.verifier_error
        try:
            rate = float(self.verifier_error)
        except ValueError:
            rate = -1.0
        if not 0 <= rate < _HALF:
            raise ConfigError(
                "--verifier-error: expected a share from 0 to below 0.5, such as 0.02, or overlap, found "
                f"{self.verifier_error!r}"
            )
        return rate

    @property
    def errs(self) -> bool:
        """Whether verified labels may be wrong."""
        return self._error != 0

    @property
    def _asked(self) -> bool:
        return self.verified is not None or self.target is not None or self.errs


@dataclass(frozen=True)
class Certified:
    """A certificate, or why there is none.

    Attributes:
        wanted: what the user wanted.
        run_audit: of the run.
        found: the certificate.
        reason: why there is none.
    """

    wanted: Wanted
    run_audit: RunAudit
    found: RunCertificate | None
    reason: str = ""

    def show(self, run: Path) -> None:
        """Print what is certain, its basis and what must hold; or why nothing is, and what to do."""
        from gdw.suggestion.run_certificate import option_that_changes

        if self.found is None:
            if self.reason and option_that_changes(self.run_audit.run.data_config) is None:
                say_wrapped(f"no certificate of the share of wrong labels: {self.reason}")
                say_wrapped(f"to get one: {way_to_one(self.run_audit, run)}")
            return
        certificate = self.found.certificate
        say_wrapped(f"certified: {certificate.share.sentence}")
        for decision in certificate.decisions:
            say_wrapped(f"certified: {decision.sentence}")
        if certificate.decisions:
            for line in self._what_decides(run):
                say_wrapped(line)
        _show_classes(certificate)
        say_wrapped(f"this holds if: {' '.join(certificate.share.assumptions)}")
        if certificate.decisions:
            sure = f"{certificate.share.confidence:.0%}"
            say_wrapped(
                f"note: each of these statements is {sure} sure by itself, not all together"
            )
        for line in certificate.notes:
            say_wrapped(f"note: {line}")
        if line := what_more_rows_bring(certificate, self._file, run, errs=self.wanted.errs):
            say_wrapped(line)

    def plain(self) -> dict[str, Any] | None:
        """The figures, for `audit.json`."""
        return None if self.found is None else self.found.plain()

    def with_probabilities(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table of issues with the calibrated probabilities, where they are known."""
        if self.found is None:
            return frame
        probability = self.found.probability_wrong(frame["index"].to_numpy())
        with_them: pd.DataFrame = frame.assign(probability_wrong=probability)
        return with_them

    def to_apply(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The table of issues for the copy: with a target, exactly the rows of the decision."""
        decision = self._decision
        if self.found is None or decision is None or decision.rows is None:
            return frame
        return self.found.applied(frame, decision.rows, relabelled=decision.what == "relabel")

    def keep_applied(self, output: Path) -> None:
        """Write into the run folder which decision the copy `output` has; nothing without a decision."""
        decision, plain = self._decision, self.plain()
        if decision is None or plain is None:
            return
        applied = {"mode": self.wanted.mode, "output": str(output), "sentence": decision.sentence}
        try:
            self.run_audit.write_certificate({**plain, "applied": applied})
        except (RunError, OutputError) as error:
            note(f"the copy is written, but the run does not say so: {error}")

    def require_possible(self) -> None:
        """`ConfigError` if the copy that the user wants would not be sure to meet the target."""
        decision = self._decision
        if decision is not None and not decision.rows:
            raise ConfigError(f"no copy is written: {decision.sentence}")

    @property
    def _decision(self) -> Any:
        """The decision that the copy is to apply; None for none."""
        if self.found is None or self.wanted.mode is None:
            return None
        what = "drop" if self.wanted.mode == "KEEP" else "relabel"
        decisions = {decision.what: decision for decision in self.found.certificate.decisions}
        return decisions.get(what)

    @property
    def _file(self) -> str | Path | None:
        return self.wanted.verified or self.run_audit.run.data_config.meta

    def _what_decides(self, run: Path) -> Iterator[str]:
        """What the decisions are about; if that is not the list, how to certify the list."""
        assert self.found is not None
        yield self.found.decided_by
        if self.found.changes.scores != "list":
            yield way_to_the_list(self._file, run)


def _show_classes(certificate: Certificate) -> None:
    """Print what is certain about the classes with enough verified rows, with its basis."""
    from gdw.certify.groups import known_classes
    from gdw.certify.sample import FEWEST

    known = known_classes(certificate.classes)
    if not known:
        return
    both = any(pair.true for pair in known)
    rows = [
        (pair.name, *_cells(pair.given), *(_cells(pair.true) if both else ()))
        for pair in known[:_CLASSES]
    ]
    most = "" if len(known) <= _CLASSES else f", the first {_CLASSES} of {len(known):,}"
    sure = f"each interval is {certificate.share.confidence:.0%} sure by itself"
    header = ["class", "wrong of this label", "verified", "labelled otherwise", "verified"]
    print_table(header[: 5 if both else 3], rows, title=f"wrong labels by class{most} ({sure})")
    first = next((pair for pair in known if pair.given), None)
    if first is None or first.given is None:
        return
    otherwise = f"Labelled otherwise: rows that are really {first.name}. " if both else ""
    low, high = first.given.low, first.given.high
    say_wrapped(
        f"How to read it: {low:.0%} to {high:.0%} of the rows labelled {first.name} belong to another class: "
        f"{first.given.wrong} of {first.given.verified} verified ones do. {otherwise}Fewer than {FEWEST} "
        "verified rows say too little."
    )


def _cells(share: ClassShare | None) -> tuple[str, str]:
    if share is None:
        return "", ""
    return f"{share.low:.1%} to {share.high:.1%}", f"{share.wrong:,} of {share.verified:,}"
