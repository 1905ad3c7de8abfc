"""What a finished run knows of its training data, in the place of quick models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gdw.data.source import Source
from gdw.errors import GDWError
from gdw.runs.auditing import audit
from gdw.runs.config import DataConfig
from gdw.runs.run import Run
from gdw.suggestion.known import Known
from gdw.suggestion.neighbours import neighbours
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
    known.absent = np.setdiff1d(np.arange(len(source.rows)), source.row_numbers)
    config = found.run.data_config
    if data is not None:
        config = config.model_copy(update={"path": data})
    features = features_of(found.run, source)
    looked = Looked(source, opinions_of(found.evidence), features, f"by what {run} has learned")
    return looked, known, config


def similar_rows(run: Run, source: Source, positions: NDArray[np.int64]) -> list[list[int]]:
    """For each of R rows of the training data of a run the most similar ones, see `features_of`.

    Args:
        run: a finished run.
        source: its training data.
        positions: int64 `(R,)`, in `source`.
    """
    features = features_of(run, source)
    return [[]] * len(positions) if features is None else neighbours(features, positions)


def features_of(run: Run, source: Source) -> NDArray[np.float32] | None:
    """Features by which rows of the training data of a run are alike, in the form that the run learned from.

    Those of a pretrained network are looked up, and not computed again.

    Args:
        run: a finished run.
        source: N rows of its training data.

    Returns:
        float32 `(N, F)`; None if they are not kept.
    """
    from gdw.runs.kept_features import kept_features
    from gdw.suggestion.quick_features import quick_features

    if not run.model_config.uses_backbone:
        return quick_features(run.encoder.encode(source))
    try:
        kept = kept_features(run)(source)
        return quick_features(kept) if run.model_config.frozen else None
    except GDWError:
        return None
