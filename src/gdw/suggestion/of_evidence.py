"""What a training has learned about its examples, as opinions on their labels."""

from __future__ import annotations

import numpy as np

from gdw.audit.evidence import Evidence
from gdw.audit.issues import true_class_probabilities
from gdw.suggestion.opinions import Opinions


def opinions_of(evidence: Evidence) -> Opinions:
    """The opinions of a training on its examples, whose labels it has seen."""
    known = true_class_probabilities(evidence)
    others = np.where(known.classes == evidence.given[:, None], 0.0, known.probabilities)
    gap = np.abs(known.of_given - others.max(1))
    return Opinions(
        given=evidence.given.astype(np.int64),
        num_classes=evidence.num_classes,
        classes=evidence.top_classes.astype(np.int64),
        probabilities=evidence.top_probabilities,
        of_given=known.of_given,
        likely=known.classes[:, 0].astype(np.int64),
        doubt=(1.0 - np.clip(gap, 0.0, 1.0)).astype(np.float32),
        wrong=np.clip(1.0 - known.of_given, 0.0, 1.0).astype(np.float32),
    )
