"""Features of images or texts from a frozen network, computed once: the inputs of a fine-tuned head."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gdw.data.loading import load
from gdw.data.source import Source
from gdw.errors import DataError
from gdw.experiments.dataset_builders import DatasetBuilder, Log, RowCount, save_npz
from gdw.experiments.row_choice import chosen_rows
from gdw.files.documents import write_atomically

if TYPE_CHECKING:
    from gdw.backbones.backbone import Backbone


class FeatureFiles(DatasetBuilder):
    """`.npz` files with `X` float32 `(N, F)` and each column in `labels` as class names.

    The test file has the first of `labels` only, which also stratifies the draw of `train_rows` and
    `test_rows` (default: all rows). Images are resized to 96 × 96 pixels for efficientnet-lite0 (F = 1280).
    Texts are for minilm (F = 384) or wordllama (F = 256). Features are kept in the cache of `gdw`, so they
    are computed once for all grids, in float32 on every machine.
    """

    network: Literal["efficientnet-lite0", "minilm", "wordllama"] = "efficientnet-lite0"
    labels: list[str] = Field(default_factory=lambda: ["label"], min_length=1)
    train_rows: RowCount | None = None
    test_rows: RowCount | None = None

    @property
    def files(self) -> Mapping[str, str]:
        return {"path": "train.npz", "test": "test.npz"}

    @abstractmethod
    def _raw(self, folder: Path) -> tuple[str, str]:
        """The files of the images or texts: to train on, and to measure on."""

    def write(self, folder: Path, log: Log) -> None:
        from gdw.backbones.loading import load_backbone

        backbone = load_backbone(f"package:{self.network}")
        train, test = self._raw(folder)
        parts = chosen_rows(
            load(train, label=self.labels[0]),
            lambda: load(test, label=self.labels[0]),
            train_rows=self.train_rows,
            test_rows=self.test_rows,
            validation=self.validation,
        )
        for name, source, labels in zip(
            ("train", "test"), parts, (self.labels, self.labels[:1]), strict=True
        ):
            arrays: dict[str, Any] = {label: class_names(source, label) for label in labels}
            arrays["X"] = _features(source, backbone, log)
            write_atomically(folder / f"{name}.npz", partial(save_npz, **arrays))


class FeatureBuilder(FeatureFiles):
    """`FeatureFiles` of the images or texts in the files `train` and `test`."""

    paths: ClassVar[frozenset[str]] = frozenset({"train", "test"})

    train: str
    test: str

    def _raw(self, folder: Path) -> tuple[str, str]:
        del folder
        return self.train, self.test


def _features(source: Source, backbone: Backbone, log: Log) -> NDArray[np.float32]:
    """The features `(N, F)`, from the cache or computed."""
    from gdw.data.encode.backbone import raw_examples
    from gdw.data.features.extraction import Request, feature_rows
    from gdw.data.features.reporting import Lines
    from gdw.data.seen_as import seen_as

    kind = seen_as(source)
    if kind != backbone.kind:
        raise DataError(
            f"{source.origin} is {kind} data: expected {backbone.kind}s to compute features of"
        )
    rows = feature_rows(
        Request(raw_examples(source, backbone.preprocessing.settings)), backbone, Lines(log)
    )
    return rows[np.arange(len(rows))][:, 0]


def class_names(source: Source, column: str) -> NDArray[np.str_]:
    """The labels `(N,)` in `column`, as names of classes."""
    names: Sequence[str] = source.label_names
    codes = source.codes(column, names, names_declared=source.names_declared)
    return np.array(names)[codes]
