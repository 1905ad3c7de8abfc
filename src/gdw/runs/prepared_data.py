"""The data of a run: as they were read, and encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gdw.data.source import Source
from gdw.runs.schema import Schema

if TYPE_CHECKING:
    from torch import Tensor

    from gdw.data.encode import Encoder
    from gdw.data.examples import Examples


class Sources(NamedTuple):
    """The rows of a run as they were read, with every image checked, and their form."""

    train: Source
    clean: Source | None
    test: Source | None
    schema: Schema


@dataclass(frozen=True)
class PreparedData:
    """Encoded examples for the trainer, and what is needed to encode other data the same way.

    Attributes:
        train: the training examples. With `add_clean` the examples of `meta` are appended.
        meta: the clean examples; None if the configuration names none.
        test: the test examples; None if the configuration names none.
        source: the rows of the training examples (without appended clean ones), with the labels in training.
        clean: the rows of the clean examples.
        schema: the form of the data.
        encoder: the preprocessing, fitted on `source`.
        spoiled: the share of labels that `noise` changed, from 0 to 1.
        fingerprint: checksums of the rows and labels, see `fingerprint`.
        chosen: the training examples that `meta` consists of if nobody has named a clean set, int64 `(M,)`.
        parts: the rows of all files of the run: of training, clean and test examples.
    """

    train: Examples
    meta: Examples | None
    test: Examples | None
    source: Source
    clean: Source | None
    schema: Schema
    encoder: Encoder
    spoiled: float
    fingerprint: dict[str, str]
    parts: tuple[Source, ...]
    chosen: Tensor | None = None
