"""scikit-learn's conventions: `gdw.GDWClassifier`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdw._lazy import lazy

if TYPE_CHECKING:
    from gdw.estimator.classifier import GDWClassifier
    from gdw.estimator.fitting import AuditWarning, DataNoteWarning
    from gdw.estimator.own_clean import NoCleanExamplesWarning

_HOME = {
    "AuditWarning": "gdw.estimator.fitting",
    "DataNoteWarning": "gdw.estimator.fitting",
    "GDWClassifier": "gdw.estimator.classifier",
    "NoCleanExamplesWarning": "gdw.estimator.own_clean",
}

__all__ = ["AuditWarning", "DataNoteWarning", "GDWClassifier", "NoCleanExamplesWarning"]


__getattr__ = lazy(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
