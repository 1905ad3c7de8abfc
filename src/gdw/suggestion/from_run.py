"""What a finished run knows of its training data, in the place of quick models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from gdw.runs.auditing import audit
from gdw.runs.config import DataConfig
from gdw.suggestion.known import Known
from gdw.suggestion.of_evidence import opinions_of
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
