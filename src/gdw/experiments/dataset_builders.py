"""Files of a data set that are made once, before the first run, and shared by all runs of a grid."""

from __future__ import annotations

import hashlib
import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gdw.data.loading import load
from gdw.data.source import Source
from gdw.data.split import split_clean
from gdw.errors import ConfigError, nearest
from gdw.experiments.protocol import ProtocolPaths
from gdw.experiments.row_choice import chosen_rows
from gdw.files.documents import write_atomically
from gdw.options import Options

Log = Callable[[str], None]
"""Takes one line about the progress, for the user."""

RowCount = Annotated[int, Field(ge=2)]
_DIGIT_CLASSES = 10
_BUILDERS = {
    "decoded": ("decoded_images", "DecodedBuilder"),
    "digits": ("dataset_builders", "DigitsBuilder"),
    "fashion_mnist": ("fashion_mnist", "FashionBuilder"),
    "features": ("image_features", "FeatureBuilder"),
    "layout": ("published_datasets", "PublishedDatasetBuilder"),
    "subset": ("dataset_builders", "SubsetBuilder"),
}


class DatasetBuilder(Options, ABC):
    """Makes the files of a data set; its fields are the options that stand next to `how` in `prepare`.

    With `validation` no row of the test set is used: see `gdw.experiments.row_choice`.
    """

    what: ClassVar[str] = "prepare "
    paths: ClassVar[frozenset[str]] = frozenset()
    """The fields that are paths."""

    validation: bool = False

    key: str = ""
    """The name of the folder: `how`, and a checksum of the options as the protocol writes them."""

    @property
    @abstractmethod
    def files(self) -> Mapping[str, str]:
        """The names of the files, by the option of `DataConfig` that each file becomes."""

    @abstractmethod
    def write(self, folder: Path, log: Log) -> None:
        """Make the files in `folder`, which may hold files of an interrupted call."""

    def places(self, data: Path) -> dict[str, str]:
        """Where the files are, or will be, below the folder `data`, by option of `DataConfig`."""
        return {
            option: str((data / self.key / name).resolve()) for option, name in self.files.items()
        }

    def build(self, data: Path, log: Log) -> None:
        """Make the files below the folder `data`, unless they are there.

        They are made in a folder of another name, which is renamed when all files are complete.
        """
        done = data / self.key
        if done.is_dir():
            return
        unfinished = data / f"{self.key}.unfinished"
        unfinished.mkdir(parents=True, exist_ok=True)
        self.write(unfinished, log)
        unfinished.replace(done)


class DigitsBuilder(DatasetBuilder):
    """scikit-learn's digits, 1,797 scans of 8 × 8 pixels: real data without a download.

    `test` of them, class-balanced, are the test set; the others are the training set. With `flat` they are
    rows of 64 features.
    """

    test: Annotated[int, Field(ge=_DIGIT_CLASSES)] = 500
    flat: bool = False

    @property
    def files(self) -> Mapping[str, str]:
        return {"path": "train.npz", "test": "test.npz"}

    def write(self, folder: Path, log: Log) -> None:
        from sklearn.datasets import load_digits

        log("digits: writing scikit-learn's scans")
        scans = load_digits()
        pixels = (scans.data if self.flat else scans.images).astype(np.float32)
        labels = scans.target.astype(np.int64)
        test, train = split_clean(labels, self.test, _DIGIT_CLASSES, seed=0)
        if self.validation:
            measured, rest = split_clean(labels[train], self.test // 2, _DIGIT_CLASSES, seed=1)
            test, train = train[measured], train[rest]
        for name, rows in (("train", train), ("test", test)):
            save_npz(folder / f"{name}.npz", X=pixels[rows], y=labels[rows])


class SubsetBuilder(DatasetBuilder):
    """Stratified subsets of two files, with all columns: `train_rows` of `train`, `test_rows` of `test`."""

    paths: ClassVar[frozenset[str]] = frozenset({"train", "test"})

    train: str
    test: str
    label: str = "label"
    train_rows: RowCount | None = None
    test_rows: RowCount | None = None

    @property
    def files(self) -> Mapping[str, str]:
        return {"path": f"train{self._suffix}", "test": f"test{self._suffix}"}

    @property
    def _suffix(self) -> str:
        return ".parquet" if self.train.endswith(".parquet") else ".csv"

    def write(self, folder: Path, log: Log) -> None:
        train, test = chosen_rows(
            load(self.train, label=self.label),
            lambda: load(self.test, label=self.label),
            train_rows=self.train_rows,
            test_rows=self.test_rows,
            validation=self.validation,
        )
        of_test = self.train if self.validation else self.test
        for name, path, source in (("train", self.train, train), ("test", of_test, test)):
            log(f"subset: {len(source):,} rows of {path}")
            target = folder / f"{name}{self._suffix}"
            write_atomically(target, lambda file, p=path, s=source: self._save(p, s, file))  # type: ignore[misc]

    def _save(self, path: str, source: Source, target: Path) -> None:
        import pyarrow as pa
        import pyarrow.csv
        import pyarrow.parquet as pq

        if self._suffix == ".parquet":
            # The schema is kept: it declares the names of the classes.
            pq.write_table(pq.read_table(path, partitioning=None).take(source.row_numbers), target)
        else:
            columns = {c: source.rows.arrow(c, source.row_numbers) for c in source.columns}
            pyarrow.csv.write_csv(pa.table(columns), target)


def parse_builder(
    prepare: Mapping[str, Any] | None, paths: ProtocolPaths, *, validation: bool = False
) -> DatasetBuilder | None:
    """The builder that `how` in `prepare` names, with its paths resolved; None if `prepare` is None.

    Args:
        prepare: as the protocol writes it.
        paths: where its paths lead.
        validation: whether to measure on rows of the training file, see `DatasetBuilder`.

    Raises:
        ConfigError: an unknown builder, or an option that does not fit.
    """
    if prepare is None:
        return None
    options = {**prepare, **({"validation": True} if validation else {})}
    checksum = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()
    how = str(options.pop("how", None))
    if how not in _BUILDERS:
        raise ConfigError(
            f"prepare: expected how: to be one of {', '.join(_BUILDERS)}, found {how!r}."
            f"{nearest(how, _BUILDERS)}"
        )
    module, name = _BUILDERS[how]
    builder: type[DatasetBuilder] = getattr(
        importlib.import_module(f"gdw.experiments.{module}"), name
    )
    for option in builder.paths & options.keys():
        if isinstance(options[option], str):
            options[option] = paths.resolve(options[option])
    return builder(**{**options, "key": f"{how}-{checksum[:8]}"})


def save_npz(path: Path, **arrays: NDArray[Any]) -> None:
    """Write an `.npz` file at exactly `path`; `numpy.savez` alone would add a suffix to the name."""
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
