"""NumPy archives: every array with one entry a row is cut alike."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from gdw.audit.cleaning.plan import Plan


def copy_npz(plan: Plan, target: Path) -> None:
    """Write the planned copy; arrays of another length are copied as they are."""
    with np.load(plan.source, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    with zipfile.ZipFile(plan.source) as archive:
        packed = any(item.compress_type != zipfile.ZIP_STORED for item in archive.infolist())
    plan.require_all(len(arrays["X"]))
    if plan.relabel:
        labels = arrays[plan.label].copy()
        labels[list(plan.relabel)] = list(plan.relabel.values())
        arrays[plan.label] = labels
    kept = {
        name: array[plan.keep] if array.shape[:1] == plan.keep.shape else array
        for name, array in arrays.items()
    }
    with target.open("wb") as file:
        (np.savez_compressed if packed else np.savez)(file, **kept)
