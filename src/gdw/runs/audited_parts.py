"""The examples of a finished run by the part that they played: training, verified and test examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gdw.audit.data_rows import CLEAN, TEST, TRAINING, VERIFIED
from gdw.data.image_checks import without_broken
from gdw.data.source import Source
from gdw.data.verification import verified_in
from gdw.errors import DataError, shown

if TYPE_CHECKING:
    from gdw.runs.auditing import RunAudit


def examples_of_parts(audit: RunAudit) -> tuple[dict[str, Source], tuple[str, ...]]:
    """The examples of each part of the run, and notes on parts that cannot be read.

    Raises:
        DataError: the training data were not found.
    """
    config = audit.run.data_config
    sources, notes = {TRAINING: audit.training_source()}, []
    clean = VERIFIED if config.verified else CLEAN
    for name, part in ((clean, verified_examples), (TEST, _test)):
        try:
            found = part(audit)
            if found is not None and config.skip_broken:
                found = without_broken(found)
        except DataError as error:
            notes.append(f"the {name} examples were not searched for near-duplicates: {error}")
            continue
        if found is not None and len(found):
            sources[name] = found
    return sources, tuple(notes)


def of_training_file(audit: RunAudit, numbers: Any, labels: Any) -> Source:
    """Rows of the training file, with labels as codes of the classes of the run.

    Args:
        audit: of the run.
        numbers: `(R,)`, the rows.
        labels: `(R,)`, their labels.

    Raises:
        DataError: the training data were not found.
    """
    rows, schema = audit.require_rows(), audit.run.schema
    types: Any = schema.column_types  # they are texts
    kind: Any = schema.kind
    codes, places = np.array(labels, dtype=np.int64), np.array(numbers, dtype=np.int64)
    names, columns = schema.label_names, schema.feature_columns
    return Source(kind, shown(rows.path), names, codes, places, columns, rows.rows, types)


def verified_examples(audit: RunAudit) -> Source | None:
    """The clean examples of a run, or None if they are not known; `DataError` if they cannot be read."""
    config, schema, rows = audit.run.data_config, audit.run.schema, audit.require_rows()
    if config.meta is not None:
        verified = verified_in(audit.training_source(), config.meta)
        if verified is not None:
            return _of_run(audit, verified.clean)
        label = config.meta_label or config.label
        return schema.load(config.meta, label=label, options=config.read_options)
    taken = config.trusted is not None or config.meta_size is not None
    if not taken or config.limit is not None or config.imbalance is not None:
        return None
    # The rows of the training file that were not trained on.
    others = np.setdiff1d(np.arange(len(rows.rows)), audit.evidence.numbers)
    if config.meta_label is None:
        return of_training_file(audit, others, rows.codes[others])
    found = of_training_file(audit, others, np.zeros(len(others)))
    return found.label_column(
        config.meta_label, schema.label_names, names_declared=schema.names_declared
    )


def _of_run(audit: RunAudit, verified: Source) -> Source:
    """The verified examples without those that were verified after the training, as training examples."""
    if verified.rows is not audit.require_rows().rows:
        return verified
    return verified.select(np.flatnonzero(audit.evidence.positions(verified.row_numbers) < 0))


def _test(audit: RunAudit) -> Source | None:
    config = audit.run.data_config
    if config.test is None:
        return None
    from gdw.runs.prepare import held_out_label

    label = held_out_label(config, config.test, option="--test-label")
    return audit.run.schema.load(config.test, label=label, options=config.read_options)
