"""Verified labels that look wrong themselves, to models that were trained without them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import numpy as np

from gdw.data.verification import is_queue
from gdw.errors import DataError, counted, shortened
from gdw.runs.audited_parts import verified_examples

if TYPE_CHECKING:
    from gdw.runs.auditing import RunAudit

# The column of `Evidence.clean_check`. If more are in doubt, the models are too weak to tell.
_DOUBTED, _MOST = 3, 0.2
# Of fewer verified examples of a class the models cannot learn it.
_OF_CLASS = 3
_SHOWN = 5


def verified_in_doubt(audit: RunAudit) -> str:
    """A line that names the verified labels that an audit would replace, were they labels of the data.

    It is empty if there are none, too many, or if the verified examples have changed since the training.
    """
    check, true = audit.evidence.clean_check, audit.evidence.clean_true
    if check is None or true is None or audit.rows is None:
        return ""
    known = np.bincount(true)[true] >= _OF_CLASS
    rows = np.flatnonzero(known & (check[:, _DOUBTED] > 0))
    if not 0 < len(rows) <= _MOST * len(check):
        return ""
    try:
        source = verified_examples(audit)
    except DataError:
        return ""
    if source is None or not np.array_equal(source.known_labels, true):
        return ""
    names = audit.run.label_names
    places = [f"{source.where(i)} ({names[true[i]]!r})" for i in rows.tolist()]
    meta, again = audit.run.data_config.meta, ""
    if meta is not None and is_queue(meta) and source.rows is audit.require_rows().rows:
        numbers = ",".join(map(str, source.row_numbers[rows].tolist()))
        again = f": gdw verify {shlex.quote(meta)} --rows {numbers}"
    return (
        f"look again at {len(rows):,} of {counted(len(true), 'verified label')}, which models that were "
        f"trained without them doubt ({shortened(places, _SHOWN)}){again}"
    )
