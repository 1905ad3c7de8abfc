"""Certificates from verified rows: how many labels are wrong, and what relabelling is sure to leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdw._lazy import lazy

if TYPE_CHECKING:
    from gdw.certify.calibration import Calibrated, calibrated
    from gdw.certify.certificate import Certificate, certify_labels
    from gdw.certify.decision import Curve, Decision, curve, decide
    from gdw.certify.groups import ClassPair, ClassShare, known_classes, shares_by_class
    from gdw.certify.ranked import Ranking, ranking
    from gdw.certify.sample import VerifiedSample, verified_sample
    from gdw.certify.selection import NextRows, expected_widths, next_rows
    from gdw.certify.share import Share, share_wrong
    from gdw.certify.verifier_error import VerifierError, known_rate, rate_of_two

_HOME = {
    "Calibrated": "gdw.certify.calibration",
    "Certificate": "gdw.certify.certificate",
    "ClassPair": "gdw.certify.groups",
    "ClassShare": "gdw.certify.groups",
    "Curve": "gdw.certify.decision",
    "Decision": "gdw.certify.decision",
    "NextRows": "gdw.certify.selection",
    "Ranking": "gdw.certify.ranked",
    "Share": "gdw.certify.share",
    "VerifiedSample": "gdw.certify.sample",
    "VerifierError": "gdw.certify.verifier_error",
    "calibrated": "gdw.certify.calibration",
    "certify_labels": "gdw.certify.certificate",
    "curve": "gdw.certify.decision",
    "decide": "gdw.certify.decision",
    "expected_widths": "gdw.certify.selection",
    "known_classes": "gdw.certify.groups",
    "known_rate": "gdw.certify.verifier_error",
    "next_rows": "gdw.certify.selection",
    "ranking": "gdw.certify.ranked",
    "rate_of_two": "gdw.certify.verifier_error",
    "share_wrong": "gdw.certify.share",
    "shares_by_class": "gdw.certify.groups",
    "verified_sample": "gdw.certify.sample",
}

__all__ = [
    "Calibrated",
    "Certificate",
    "ClassPair",
    "ClassShare",
    "Curve",
    "Decision",
    "NextRows",
    "Ranking",
    "Share",
    "VerifiedSample",
    "VerifierError",
    "calibrated",
    "certify_labels",
    "curve",
    "decide",
    "expected_widths",
    "known_classes",
    "known_rate",
    "next_rows",
    "ranking",
    "rate_of_two",
    "share_wrong",
    "shares_by_class",
    "verified_sample",
]


__getattr__ = lazy(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
