"""The data of a run: as they were read, and encoded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdw.audit.evidence import Evidence
from gdw.data.clean import lacking_clean
from gdw.data.source import Source
from gdw.files.documents import Document
from gdw.reweight.registry import METHODS
from gdw.runs.config import DataConfig, RunConfig
from gdw.runs.schema import Schema

if TYPE_CHECKING:
    from torch import Tensor

    from gdw.backbones.backbone import Backbone
    from gdw.data.encode import Encoder
    from gdw.data.examples import Examples
    from gdw.data.verification import VerifiedRows


FINGERPRINT = "data.json"
CHECKSUMS = Document(format=1, remedy="start the run again")


class Sources(NamedTuple):
    """The rows of a run as they were read, with every image checked, and their form; see `PreparedData`."""

    train: Source
    clean: Source | None
    test: Source | None
    schema: Schema
    verified: VerifiedRows | None = None


@dataclass(frozen=True)
class PreparedData:
    """Encoded examples for the trainer, and what is needed to encode other data the same way.

    Attributes:
        train: the training examples. With `add_clean` the examples of `meta` are appended.
        meta: the clean examples; None if the configuration names none.
        test: the test examples; None if the configuration names none.
        source: the rows of the training examples (without appended clean ones), with the labels in training.
        clean: the rows of the clean examples, without those in `chosen`.
        schema: the form of the data.
        encoder: the preprocessing, fitted on `source`.
        spoiled: the share of labels that `noise` changed, from 0 to 1.
        fingerprint: checksums of the rows and labels, see `fingerprint`.
        chosen: the training examples that stand in for clean ones that nobody has named, the last ones of
            `meta`, int64 `(M,)`.
        parts: the rows of all files of the run: of training, clean and test examples.
        backbone: the backbone; None for none.
        verified: the rows of the verification file that `clean` consists of; None for other clean examples.
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
    backbone: Backbone | None = None
    verified: VerifiedRows | None = None
    chosen: Tensor | None = None

    def lacking(self, config: RunConfig) -> NDArray[np.int64]:
        """How many more clean examples of each class the method of a run needs, int64 `(C,)`.

        A clean set that was drawn from the data is as it was asked for.
        """
        classes, method = len(self.source.label_names), METHODS[config.training.method]
        asked_for = config.data.meta_size is not None or self.chosen is not None
        if asked_for or not method.needs_clean:
            return np.zeros(classes, dtype=np.int64)
        clean = np.array([], np.int64) if self.clean is None else self.clean.known_labels
        given = self.source.known_labels
        return lacking_clean(
            given,
            clean,
            classes,
            fewest=method.fewest_clean,
            fewest_of_class=method.fewest_of_class,
        )


def with_rows(evidence: Evidence, prepared: PreparedData, data: DataConfig) -> Evidence:
    """Add the rows of the examples, and the labels of the clean examples if they are verified."""
    clean = prepared.clean
    rows = prepared.source.row_numbers
    if clean is None or not data.verified:
        return replace(evidence, rows=rows, clean_check=None, clean_agreement=None)
    given = None
    # Unverified labels of clean rows are known if these are rows of the data, and noise did not change them.
    if prepared.chosen is not None:
        from gdw.audit.part_of_check import checked_on

        stand_ins = prepared.source.known_labels[prepared.chosen.numpy()]
        labels = np.concatenate([clean.known_labels, stand_ins])
        evidence = checked_on(evidence, labels, np.arange(len(labels)) < len(clean))
    of_data = clean.rows is prepared.source.rows
    known = of_data if data.meta is not None else data.meta_label is not None
    if known and data.noise is None:
        column = clean.rows.resolve_label(data.label)
        given = clean.codes(column, clean.label_names, names_declared=clean.names_declared)
    drawn, verified = None, prepared.verified
    if verified is not None and len(verified.drawn) == len(clean):
        drawn = verified.drawn.astype(np.float32)
        if given is not None and [clean.label_names[k] for k in given] != list(verified.given):
            given = None  # They were corrected, and are no sample of the labels in training.
    return replace(
        evidence, rows=rows, clean_true=clean.labels, clean_given=given, clean_drawn=drawn
    )


def fingerprint(train: Source, clean: Source | None) -> dict[str, str]:
    """SHA-256 checksums of row numbers, class names and labels, by which a resumed run knows its data.

    The features are left out: reading them again would take as long as encoding them.
    """
    sums = {"training": _checksum(train)}
    return sums if clean is None else {**sums, "clean": _checksum(clean)}


def save_fingerprint(prepared: PreparedData, folder: Path) -> None:
    """Write `data.json` into `folder`."""
    clean = None if prepared.clean is None else len(prepared.clean)
    CHECKSUMS.write(folder / FINGERPRINT, {"sha256": prepared.fingerprint, "clean_examples": clean})


def _checksum(source: Source) -> str:
    digest = hashlib.sha256(json.dumps([len(source), *source.label_names]).encode())
    for values in (source.row_numbers, source.known_labels):
        digest.update(values.astype("<i8").tobytes())
    return digest.hexdigest()
