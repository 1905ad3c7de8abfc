"""Which command makes a part of a run folder that is missing."""

from __future__ import annotations

from gdw.audit.audit_files import AUDIT, LABEL_ISSUES, NOISE_MATRIX
from gdw.audit.evidence import EVIDENCE
from gdw.runs.figures import EVALUATION
from gdw.train.run_folder import HISTORY

MISSING = {
    "history": (HISTORY, "make it with gdw train --resume --output RUN"),
    "issues": (LABEL_ISSUES, "make it with gdw audit RUN"),
    "audit": (AUDIT, "make it with gdw audit RUN"),
    "noise_matrix": (NOISE_MATRIX, "make it with gdw audit RUN"),
    "evaluation": (EVALUATION, "make it with gdw evaluate RUN DATA"),
    "evidence": (
        EVIDENCE,
        "the run is not finished (continue it with gdw train --resume --output RUN), or an old gdw trained "
        "it (train again)",
    ),
    "class_weights": (
        f"class-level weights in {EVIDENCE}",
        "gdw train records them when it finishes, for up to 512 classes",
    ),
}
"""For each part, its file and what to do if the run does not have it."""

OF_TRAINER = (
    "which keeps no data options: only .history of such a run can be used; gdw train writes runs that have "
    "the rest"
)
"""What can be done with a run that a call of `gdw.Trainer` wrote."""
