"""The predicted probabilities of an audit as a NumPy file, for cleanlab."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gdw.audit.belief import Belief, belief
from gdw.audit.evidence import Evidence
from gdw.errors import ConfigError
from gdw.files.atomic import write_atomically

_VALUES_AT_ONCE = 1 << 22


def check_pred_probs(path: Path) -> None:
    """`ConfigError` unless a new `.npy` file can be written at `path`."""
    if path.suffix.lower() != ".npy":
        raise ConfigError(f"{path}: predicted probabilities are a NumPy file, name it .npy")
    if path.exists():
        raise ConfigError(f"{path} exists already: choose another name, or remove it first")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent}: make it, or choose another")


def write_pred_probs(evidence: Evidence, path: Path) -> None:
    """Write `(N, C)` float32, whose rows sum to one, in the order of the training examples.

    Of each example the likeliest classes and the given label are as recorded; the rest of its
    probability is spread evenly over the other classes. Only a part is ever in memory.
    """
    found = belief(evidence)
    rows = max(1, _VALUES_AT_ONCE // evidence.num_classes)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            about = {
                "descr": "<f4",
                "fortran_order": False,
                "shape": (len(evidence), evidence.num_classes),
            }
            np.lib.format.write_array_header_1_0(file, about)
            for start in range(0, len(evidence), rows):
                part = _dense(found, evidence, slice(start, start + rows))
                file.write(part.astype("<f4").tobytes())

    write_atomically(path, write)


def _dense(found: Belief, evidence: Evidence, part: slice) -> NDArray[np.float64]:
    classes, given = found.classes[part], evidence.given[part]
    whole = np.full((len(given), evidence.num_classes), np.nan)
    np.put_along_axis(whole, given[:, None].astype(np.int64), found.given[part, None], 1)
    np.put_along_axis(whole, classes.astype(np.int64), found.probabilities[part], 1)
    unknown = np.isnan(whole)
    rest = np.maximum(1.0 - np.nansum(whole, 1), 0.0) / np.maximum(unknown.sum(1), 1)
    dense = np.where(unknown, rest[:, None], whole)
    sums: NDArray[np.float64] = dense / dense.sum(1, keepdims=True)
    return sums
