"""From the paths of a configuration to encoded training, clean and test examples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gdw.data.source import Source
from gdw.errors import RunError
from gdw.files.documents import Document
from gdw.runs.config import DataConfig
from gdw.runs.reading import Sources, read, spoilers
from gdw.runs.schema import Schema
from gdw.runs.skipped_images import SKIPPED

if TYPE_CHECKING:
    from torch import Tensor

    from gdw.data.encode import Encoder
    from gdw.data.examples import Examples, Inputs

FINGERPRINT = "data.json"
_CHECKSUMS = Document(format=1, remedy="start the run again")


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


def prepare(config: DataConfig, *, seed: int, sources: Sources | None = None) -> PreparedData:
    """Read, split and encode the data, and add noise or imbalance if the configuration says so.

    Args:
        config: the options of the data.
        seed: of the random choices: clean examples, limits, noise and imbalance.
        sources: what `read` returned for them; default: read here.

    Raises:
        DataError: the data cannot be trained on. The message names file, row and column.
        ConfigError: the options contradict each other.
    """
    import torch

    from gdw.data.encode.encoder import fit_encoder
    from gdw.data.examples import Examples

    noise, imbalance = spoilers(config)
    train, clean, test, schema = sources or read(config, seed=seed)
    if imbalance is not None:
        train = train.select(imbalance.apply(train.known_labels, len(train.label_names), seed))
    encoder = fit_encoder(train, image_size=config.image_size, max_features=config.max_words)
    inputs = encoder.encode(train)
    sizes = getattr(encoder, "categories", {})
    schema = replace(schema, categories=sizes, size=tuple(encoder.input_shape))
    given = true = train.known_labels
    if noise is not None:
        features = _features(inputs) if noise.needs_features else None
        given = noise.apply(true, len(train.label_names), seed, features=features)
    doubtful = Examples(inputs, torch.from_numpy(given.copy()))
    meta = None if clean is None else _examples(encoder, clean)
    notes = (*_notes(train, clean, test), *getattr(encoder, "notes", ()))
    source = replace(train.with_labels(given), notes=notes)
    return PreparedData(
        train=doubtful.joined(meta) if config.add_clean and meta is not None else doubtful,
        meta=meta,
        test=None if test is None else _examples(encoder, test),
        source=source,
        clean=clean,
        schema=schema,
        encoder=encoder,
        spoiled=float(np.mean(given != true)),
        fingerprint=fingerprint(source, clean),
        parts=tuple(filter(None, (source, clean, test))),
    )


def _notes(train: Source, clean: Source | None, test: Source | None) -> tuple[str, ...]:
    """The notes on the training data, and those on other files with the name of the file."""
    others = [part for part in (clean, test) if part is not None and part.origin != train.origin]
    of_others = (f"{part.origin}: {note}" for part in others for note in part.notes)
    skipped = any(part.skipped for part in (train, *others))
    lists = (f"the run folder has the list of all images left out: {SKIPPED}",) if skipped else ()
    return (*train.notes, *of_others, *lists)


def _examples(encoder: Encoder, source: Source) -> Examples:
    import torch

    from gdw.data.examples import Examples

    return Examples(encoder.encode(source), torch.from_numpy(source.known_labels.copy()))


def _features(inputs: Inputs) -> NDArray[np.float64]:
    """All inputs as one matrix `(N, F)`, for noise that depends on them."""
    encoded = inputs[np.arange(len(inputs))]
    return encoded.reshape(len(inputs), -1).double().numpy()


def fingerprint(train: Source, clean: Source | None) -> dict[str, str]:
    """SHA-256 checksums of row numbers, class names and labels, by which a resumed run knows its data.

    The features are left out: reading them again would take as long as encoding them.
    """
    sums = {"training": _checksum(train)}
    return sums if clean is None else {**sums, "clean": _checksum(clean)}


def save_fingerprint(sums: Mapping[str, str], folder: Path) -> None:
    """Write `data.json` into `folder`."""
    _CHECKSUMS.write(folder / FINGERPRINT, {"sha256": dict(sums)})


def require_same_data(sums: Mapping[str, str], folder: Path) -> None:
    """Check that `folder` holds the same checksums, or none.

    Raises:
        RunError: the checksums differ, or their file is damaged.
    """
    path = folder / FINGERPRINT
    if not path.exists():
        return
    earlier = _CHECKSUMS.read(path).get("sha256")
    if not isinstance(earlier, dict):
        raise _CHECKSUMS.damaged(path, "it has no checksums")
    changed = [name for name in {**sums, **earlier} if sums.get(name) != earlier.get(name)]
    if changed:
        raise RunError(
            f"{folder.parent} cannot be resumed: the {' and '.join(changed)} rows or labels are not those "
            "the run was started with; restore the files, or choose another output folder"
        )


def _checksum(source: Source) -> str:
    digest = hashlib.sha256(json.dumps([len(source), *source.label_names]).encode())
    for values in (source.row_numbers, source.known_labels):
        digest.update(values.astype("<i8").tobytes())
    return digest.hexdigest()
