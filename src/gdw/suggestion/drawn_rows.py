"""The verified rows of the data of a run that were drawn at random, with the design of the draw."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gdw.data.verification import Verification, VerifiedRows, verified_in, verified_rows
from gdw.errors import DataError, counted, shown
from gdw.runs.audited_parts import of_training_file, verified_examples
from gdw.suggestion.draws import draws_of, require_same_labels

if TYPE_CHECKING:
    from gdw.runs.auditing import RunAudit

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DrawnRows:
    """M verified rows of the data of a run, and the rows that the run was given as verified.

    Attributes:
        numbers: int64 `(M,)`, the verified rows of the data.
        labels: int64 `(M,)`, their verified classes.
        probability: float64 `(M,)`, how likely each was to be drawn; NaN if it was not drawn at random.
        draw: float64 `(M,)`, in which draw it came, in their order.
        of_run: the verified class of each row that the run got in a verification file and did not train on.
        not_trained: int64, the rows of the data that the run did not train on because they are verified.
        verification: the file of the M rows, in their order; None if they have none.
        of_training: whether it is the file that the run was trained with.
    """

    numbers: Ints
    labels: Ints
    probability: NDArray[np.float64]
    draw: NDArray[np.float64]
    of_run: dict[int, int]
    not_trained: Ints
    verification: Verification | None = None
    of_training: bool = False

    @property
    def at_random(self) -> Ints:
        """int64, the verified rows that are a sample of all rows of the data."""
        return self.numbers[~np.isnan(self.probability)]

    @property
    def known(self) -> dict[int, int]:
        """The verified class of each of the M rows."""
        return dict(zip(self.numbers.tolist(), self.labels.tolist(), strict=True))


def drawn_rows(audit: RunAudit, path: str | os.PathLike[str] | None) -> DrawnRows:
    """The verified rows of a verification file, or of the training.

    Args:
        audit: of the run.
        path: the file; None for the rows that the run was trained with.

    Raises:
        DataError: there is none, or its rows are not those of the data.
    """
    config, trained = audit.run.data_config, audit.evidence.numbers
    _require_there(config.meta)
    own = None if config.meta is None else verified_in(audit.training_source(), config.meta)
    of_run: dict[int, int] = {}
    not_trained = np.array([], dtype=np.int64)
    if own is not None:
        not_trained = own.numbers
        rows = dict(zip(own.numbers.tolist(), own.labels.tolist(), strict=True))
        of_run = {row: rows[row] for row in rows.keys() - set(trained.tolist())}
    elif config.trusted is not None or config.meta_size is not None:
        not_trained = np.setdiff1d(np.arange(len(audit.require_rows().rows)), trained)
    if path is None and own is None:
        return DrawnRows(*_drawn_by_training(audit), of_run, not_trained)
    file = config.meta if path is None else os.fspath(path)
    assert file is not None
    same = own is not None and config.meta is not None and Path(file).samefile(config.meta)
    found = own if same and own is not None else verified_rows(audit.training_source(), file)
    _require_of_data(audit, found, Path(file))
    probability, draw = draws_of(found.verification)
    return DrawnRows(
        found.numbers,
        found.labels,
        probability,
        draw,
        of_run,
        not_trained,
        found.verification,
        of_training=same,
    )


def _require_there(meta: str | None) -> None:
    if meta is not None and meta.endswith(".jsonl") and not Path(meta).exists():
        raise DataError(
            f"{shown(meta)}, with which the run was trained, is not there: it says which rows of the data "
            "were verified"
        )


def _require_of_data(audit: RunAudit, found: VerifiedRows, path: Path) -> None:
    """`DataError` if a verified row is not in the data with the label that it was verified with."""
    gone = len(found.given) - len(found.numbers)
    if gone:
        raise DataError(
            f"{counted(gone, 'row that was', 'rows that were')} verified in {shown(path)} are not in the "
            "data now"
        )
    names, codes = audit.run.label_names, audit.require_rows().codes
    now = [names[code] for code in codes[found.numbers].tolist()]
    require_same_labels(now, found.given, path)


def _drawn_by_training(
    audit: RunAudit,
) -> tuple[Ints, Ints, NDArray[np.float64], NDArray[np.float64]]:
    """The rows that `--meta-size` drew, equally many of each class of the column `--meta-label`."""
    config, schema = audit.run.data_config, audit.run.schema
    if config.meta is not None:
        raise DataError(f"nothing says that {shown(config.meta)} was drawn from the data at random")
    if config.trusted is not None:
        raise DataError(
            f"nothing says that the rows that {config.trusted!r} marks were drawn at random"
        )
    if config.meta_size is None:
        raise DataError("no row of the data was drawn at random and verified")
    if config.meta_label is None:
        raise DataError("nobody has verified the rows that --meta-size drew")
    clean = verified_examples(audit)
    assert clean is not None
    if len(clean) != config.meta_size:
        raise DataError(
            f"{counted(len(clean), 'row')} of the data were not trained on, and --meta-size drew "
            f"{config.meta_size:,}: which ones is not known"
        )
    everything = np.arange(len(audit.require_rows().rows))
    true = of_training_file(audit, everything, np.zeros(len(everything))).label_column(
        config.meta_label, schema.label_names, names_declared=schema.names_declared
    )
    classes = len(schema.label_names)
    drawn = np.bincount(clean.known_labels, minlength=classes)
    share = drawn / np.maximum(1, np.bincount(true.known_labels, minlength=classes))
    labels = clean.known_labels
    return clean.row_numbers, labels, share[labels], np.zeros(len(labels))
