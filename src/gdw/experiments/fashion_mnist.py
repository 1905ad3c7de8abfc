"""Fashion-MNIST, as a Debian package installs it, as features of a frozen network."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gdw.errors import MissingDependencyError
from gdw.experiments.dataset_builders import save_npz
from gdw.experiments.image_features import FeatureFiles

_SIDE = 28
# The headers of the IDX format: magic number, sizes.
_IMAGES_START, _LABELS_START = 16, 8


class FashionBuilder(FeatureFiles):
    """Features of Fashion-MNIST (Xiao et al., 2017, arXiv 1708.07747), 70,000 grey images of clothes.

    `root` is the folder with the four files of the publisher.
    """

    paths: ClassVar[frozenset[str]] = frozenset({"root"})

    root: str = "/usr/share/datasets/fashion-mnist"

    def _raw(self, folder: Path) -> tuple[str, str]:
        train, test = folder / "train-images.npz", folder / "test-images.npz"
        for path, name in ((train, "train"), (test, "t10k")):
            X = self._bytes(f"{name}-images-idx3-ubyte.gz")[_IMAGES_START:]
            y = self._bytes(f"{name}-labels-idx1-ubyte.gz")[_LABELS_START:]
            save_npz(path, X=X.reshape(-1, _SIDE, _SIDE), label=y)
        return str(train), str(test)

    def _bytes(self, name: str) -> NDArray[np.uint8]:
        try:
            with gzip.open(Path(self.root) / name) as file:
                return np.frombuffer(file.read(), dtype=np.uint8)
        except FileNotFoundError as error:
            raise MissingDependencyError(
                f"{self.root} does not hold Fashion-MNIST ({name} is missing): on Debian and Ubuntu, apt "
                "install dataset-fashion-mnist; or give root: the folder of the publisher's four files"
            ) from error
