"""Find wrong training labels: evidence from training, scores, suggested labels, the noise matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdw._lazy import lazy

if TYPE_CHECKING:
    from gdw.audit.assessment import Assessment, assess
    from gdw.audit.evidence import ClassWeights, Evidence
    from gdw.audit.issues import label_issues, score
    from gdw.audit.matrix import NoiseMatrix, noise_matrix
    from gdw.audit.recorder import Recorder

_HOME = {
    "Assessment": "gdw.audit.assessment",
    "ClassWeights": "gdw.audit.evidence",
    "Evidence": "gdw.audit.evidence",
    "NoiseMatrix": "gdw.audit.matrix",
    "Recorder": "gdw.audit.recorder",
    "assess": "gdw.audit.assessment",
    "label_issues": "gdw.audit.issues",
    "noise_matrix": "gdw.audit.matrix",
    "score": "gdw.audit.issues",
}

__all__ = [
    "Assessment",
    "ClassWeights",
    "Evidence",
    "NoiseMatrix",
    "Recorder",
    "assess",
    "label_issues",
    "noise_matrix",
    "score",
]


__getattr__ = lazy(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
