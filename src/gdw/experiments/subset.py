"""Fewer rows of larger files, the same for every cell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from gdw.data.loading import load
from gdw.experiments.material import Material, Say
from gdw.files.atomic import write_atomically

Count = Annotated[int, Field(ge=2)]


class Subset(Material):
    """Stratified parts of two Parquet files: `train_rows` of `train` and `test_rows` of `test`."""

    paths: ClassVar[frozenset[str]] = frozenset({"train", "test"})

    train: str
    test: str
    label: str = "label"
    train_rows: Count | None = None
    test_rows: Count | None = None

    @property
    def files(self) -> Mapping[str, str]:
        return {"path": "train.parquet", "test": "test.parquet"}

    def write(self, folder: Path, say: Say) -> None:
        import pyarrow.parquet as pq

        for name, path, size in (
            ("train", self.train, self.train_rows),
            ("test", self.test, self.test_rows),
        ):
            source = load(path, label=self.label, limit=size, seed=0)
            say(f"subset: {len(source):,} rows of {path}")
            # The schema goes along, with the names of the classes that it declares.
            chosen = pq.read_table(path, partitioning=None).take(source.row_numbers)
            target = folder / f"{name}.parquet"
            write_atomically(target, lambda file, table=chosen: pq.write_table(table, file))  # type: ignore[misc]
