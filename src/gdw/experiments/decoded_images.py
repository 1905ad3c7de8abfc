"""Images in files, decoded once for all runs of a grid, so that a run begins at once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from gdw.data.encode.image import decode_squares
from gdw.data.loading import load
from gdw.data.source import Source
from gdw.experiments.dataset_builders import DatasetBuilder, Log, RowCount, save_npz
from gdw.experiments.image_features import class_names
from gdw.experiments.row_choice import chosen_rows
from gdw.files.documents import write_atomically


class DecodedBuilder(DatasetBuilder):
    """`.npz` files with `X` uint8 `(N, S, S, 3)` and each column in `labels` as class names.

    S is `image_size`: the shorter side is resized to it, and the middle is kept. The test file has the first
    of `labels` only, which also stratifies the draw of `train_rows` and `test_rows` (default: all rows).
    """

    paths: ClassVar[frozenset[str]] = frozenset({"train", "test"})

    train: str
    test: str
    labels: list[str] = Field(default_factory=lambda: ["label"], min_length=1)
    image_size: Annotated[int, Field(ge=1)] = 32
    train_rows: RowCount | None = None
    test_rows: RowCount | None = None

    @property
    def files(self) -> Mapping[str, str]:
        return {"path": "train.npz", "test": "test.npz"}

    def write(self, folder: Path, log: Log) -> None:
        parts = chosen_rows(
            load(self.train, label=self.labels[0]),
            lambda: load(self.test, label=self.labels[0]),
            train_rows=self.train_rows,
            test_rows=self.test_rows,
            validation=self.validation,
        )
        for name, source, labels in zip(
            ("train", "test"), parts, (self.labels, self.labels[:1]), strict=True
        ):
            log(f"decoded: {len(source):,} images of {source.origin}")
            arrays: dict[str, Any] = {label: class_names(source, label) for label in labels}
            arrays["X"] = self._pixels(source)
            write_atomically(folder / f"{name}.npz", partial(save_npz, **arrays))

    def _pixels(self, source: Source) -> Any:
        squares = decode_squares(source, np.arange(len(source)), self.image_size)
        return np.ascontiguousarray(squares.numpy().transpose(0, 2, 3, 1))
