"""scikit-learn's digits as files: real data that needs no download."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from gdw.data.split import split_clean
from gdw.experiments.material import Material, Say

_CLASSES = 10


class Digits(Material):
    """1,797 scans of 8 × 8 pixels: `test` of them, class-balanced, are held out, the others to train on."""

    test: Annotated[int, Field(ge=_CLASSES)] = 500

    @property
    def files(self) -> Mapping[str, str]:
        return {"path": "train.npz", "test": "test.npz"}

    def write(self, folder: Path, say: Say) -> None:
        from sklearn.datasets import load_digits

        say("digits: writing scikit-learn's scans")
        scans = load_digits()
        pixels, labels = scans.images.astype(np.float32), scans.target.astype(np.int64)
        held_out, rest = split_clean(labels, self.test, _CLASSES, seed=0)
        for name, rows in (("train", rest), ("test", held_out)):
            np.savez(folder / f"{name}.npz", X=pixels[rows], y=labels[rows])
