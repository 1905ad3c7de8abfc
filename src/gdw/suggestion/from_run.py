"""What a finished run knows of its training data, in the place of quick models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from gdw.audit.evidence import Evidence
from gdw.audit.issues import true_class_probabilities
from gdw.runs.auditing import audit
from gdw.runs.config import DataConfig
from gdw.suggestion.known import Known
from gdw.suggestion.opinions import Opinions
from gdw.suggestion.suggesting import Looked


def look_at_run(run: Path, *, data: str | None = None) -> tuple[Looked, Known, DataConfig]:
    """The training data of a run with its opinions, what is verified, and the options of the data.

    Args:
        run: the folder of a finished run.
        data: where the training data are now, if they were moved.

    Raises:
        RunError: there is no finished run.
        DataError: the training data changed, or are not there.
    """
    found = audit(run, data=data)
    schema = found.run.schema
    source = replace(
        found.training_source(),
        names_declared=schema.names_declared,
        labels_merged=schema.labels_merged,
    )
    known = Known.nothing(len(source), len(source.label_names))
    if found.evidence.clean_true is not None:
        known.add_others(found.evidence.clean_true.astype(np.int64))
    config = found.run.data_config
    if data is not None:
        config = config.model_copy(update={"path": data})
    looked = Looked(source, opinions_of(found.evidence), None, f"by what {run} has learned")
    return looked, known, config


def opinions_of(evidence: Evidence) -> Opinions:
    """The opinions of a training on its examples, which have seen their labels."""
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
    )
