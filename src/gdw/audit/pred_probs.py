"""The estimated class probabilities of an audit as a NumPy file, for cleanlab."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gdw.audit.evidence import Evidence
from gdw.audit.issues import TrueClassProbabilities, true_class_probabilities
from gdw.files.documents import write_atomically

_VALUES_AT_ONCE = 1 << 22


def write_pred_probs(evidence: Evidence, path: Path) -> None:
    """Write class probabilities, float32 `(N, C)`, in the order of the training examples.

    The most probable classes and the given label have the recorded probabilities. The rest is spread
    evenly over the other classes, so that each row sums to one. Only a part of the array is in memory
    at a time.
    """
    probabilities = true_class_probabilities(evidence)
    rows = max(1, _VALUES_AT_ONCE // evidence.num_classes)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            header = {
                "descr": "<f4",
                "fortran_order": False,
                "shape": (len(evidence), evidence.num_classes),
            }
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, len(evidence), rows):
                part = _dense(probabilities, evidence, slice(start, start + rows))
                file.write(part.astype("<f4").tobytes())

    write_atomically(path, write)


def _dense(
    probabilities: TrueClassProbabilities, evidence: Evidence, part: slice
) -> NDArray[np.float64]:
    classes, given = probabilities.classes[part], evidence.given[part]
    dense = np.full((len(given), evidence.num_classes), np.nan)
    of_given = probabilities.of_given[part, None]
    np.put_along_axis(dense, given[:, None].astype(np.int64), of_given, 1)
    np.put_along_axis(dense, classes.astype(np.int64), probabilities.probabilities[part], 1)
    unknown = np.isnan(dense)
    rest = np.maximum(1.0 - np.nansum(dense, 1), 0.0) / np.maximum(unknown.sum(1), 1)
    dense = np.where(unknown, rest[:, None], dense)
    normalised: NDArray[np.float64] = dense / dense.sum(1, keepdims=True)
    return normalised
